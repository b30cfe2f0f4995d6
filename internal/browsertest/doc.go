// Package browsertest holds tests of the pages as a person meets them: real
// pages of a real lab, run as the program itself, in a headless Chromium.
//
// Rules: nothing is faked, and nothing is skipped: without Chromium the tests
// fail and say what to install. Waiting is always for a condition. Whatever a
// test does, its tab is watched: a request to another host, a violation of the
// Content-Security-Policy or an error on the console fails it.
//
// With -screenshots DIR the tests also write a picture of every page, wide and
// narrow, light and dark:
//
//	go test ./internal/browsertest -run TestPages -args -screenshots /tmp/pages
package browsertest
