// Package checklist runs a checklist for people who watch it.
//
// What is checked, and how, is a Checker's, of which this package knows the
// results alone. Its rules:
//
//   - One run at a time: whoever asks while one is under way gets that one. Two
//     runs would count each other's rolls, and a class in front of one lab wants
//     to see the same.
//   - A run lasts while somebody watches. Between two who watch a moment may
//     pass, so that a page that is loaded again finds its run going on.
//   - The last run that came to its end stays, and so does why the latest did
//     not.
package checklist
