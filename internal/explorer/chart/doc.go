// Package chart draws time series, scatter plots and bars as SVG on the server.
//
// Marks can be links, carry a <title> for hovering and screen readers, and take
// their colours from CSS by class name, so that one drawing serves dark and
// light. No style attribute and no script is written: the drawings hold under a
// Content-Security-Policy that allows neither. Horizontal positions are percent
// and vertical ones pixels, so a drawing fills any width and its text keeps its
// size. The waterfall of a trace uses the same scales.
package chart
