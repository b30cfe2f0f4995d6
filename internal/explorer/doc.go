// Package explorer is the web page on which the lab's traces, logs and metrics
// are looked at, and on which each leads to the others.
//
// It is a client of the public query APIs of Prometheus, Loki and Tempo, through
// dicelab/internal/query and nothing else, so it shows any stack that has them.
// Pages are HTML made on the server: searching, opening and following links
// works without JavaScript, which only adds copying and refreshing. They hold
// under a Content-Security-Policy without inline style or script. What a
// backend refuses, or that it cannot be reached, is shown in its own words.
//
// The page Checklist alone does more than ask: its run makes rolls. What it
// checks is handed in, as a checklist.Checker.
package explorer
