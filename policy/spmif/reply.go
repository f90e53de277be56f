package spmif

import (
	"fmt"
	"unicode/utf8"
)

// A Status is the three-digit code that begins each line of a reply.
type Status int

// The status codes, with the original's meanings.
const (
	Ready        Status = 220 // greeting; the challenge follows
	OK           Status = 250
	OKEmpty      Status = 251 // done, and there is nothing to show
	SyntaxError  Status = 500 // wrong arguments
	NotCached    Status = 501 // FQDN QUERY found no name
	Unknown      Status = 502 // no such command
	Failed       Status = 550
	NoSuchObject Status = 551 // exists already, or does not exist
)

// Lengths in octets, without the CRLF.
const (
	maxLine  = 512 // a command
	maxChunk = 900 // the text of one line of a STATUS reply
	maxText  = 900 // the text of any other reply's line
)

// appendReply appends one reply: every line but the last is marked with "-".
// No lines at all make one empty line, because each command has an answer.
func appendReply(out []byte, status Status, lines ...string) []byte {
	if len(lines) == 0 {
		lines = []string{""}
	}
	for i, line := range lines {
		mark := byte('-')
		if i == len(lines)-1 {
			mark = ' '
		}
		out = fmt.Appendf(out, "%03d%c%s\r\n", int(status), mark, oneLine(line))
	}
	return out
}

// oneLine makes text fit for one line of a reply: control characters, which
// could end the line or begin another, become "?", and the rest is cut.
func oneLine(text string) string {
	text = text[:cut(text, maxText)]
	clean := true
	for i := range len(text) {
		clean = clean && !isControl(text[i])
	}
	if clean {
		return text
	}
	out := []byte(text)
	for i, c := range out {
		if isControl(c) {
			out[i] = '?'
		}
	}
	return string(out)
}

func isControl(c byte) bool { return c < ' ' || c == 0x7f }

// cut is the length of the longest beginning of text that has at most limit
// octets and does not end inside a UTF-8 sequence.
func cut(text string, limit int) int {
	if len(text) <= limit {
		return len(text)
	}
	n := limit
	for n > limit-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	if !utf8.RuneStart(text[n]) { // not UTF-8 at all
		return limit
	}
	return n
}

// chunks cuts text into the lines of a STATUS reply.
func chunks(text string) []string {
	lines := make([]string, 0, len(text)/maxChunk+1)
	for len(text) > maxChunk {
		n := cut(text, maxChunk)
		lines = append(lines, text[:n])
		text = text[n:]
	}
	return append(lines, text)
}
