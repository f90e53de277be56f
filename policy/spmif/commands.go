package spmif

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// dispatch finds the command and carries it out.
//
// The original takes any word that begins with a command's name for that
// command ("LOGINX" is LOGIN). Its names keep that rule, and its order; the
// names that it does not know, STATUS, SA and WATCH, must be spelled out, and are
// looked at first because STATUS begins with STAT.
func (s *Session) dispatch(out []byte, args [][]byte) []byte {
	if len(args) == 0 {
		return appendReply(out, Unknown, "Command not implemented")
	}
	verb, args := args[0], args[1:]
	switch {
	case is(verb, "STATUS"):
		return s.authorized(out, args, s.status)
	case is(verb, "SA"):
		return s.authorized(out, args, s.sa)
	case is(verb, "WATCH"):
		return s.authorized(out, args, s.watch)
	case begins(verb, "LOGIN"):
		return s.login(out, args)
	case begins(verb, "NS"):
		if !s.loggedIn { // the original spells it so here, and only here
			return appendReply(out, Failed, "Need Login")
		}
		return s.ns(out, args)
	case begins(verb, "FQDN"):
		return s.authorized(out, args, s.fqdn)
	case begins(verb, "POLICY"):
		return s.authorized(out, args, s.policy)
	case begins(verb, "MIGRATE"):
		return s.authorized(out, args, s.migrate)
	case begins(verb, "SLID"):
		return s.authorized(out, args, s.slid)
	case begins(verb, "STAT"):
		return s.authorized(out, args, s.stat)
	case begins(verb, "QUIT"), begins(verb, "EXIT"):
		s.closed = true
		return appendReply(out, OK, "BYE")
	}
	return appendReply(out, Unknown, "Command not implemented")
}

// authorized carries out a command if the client has logged in.
func (s *Session) authorized(out []byte, args [][]byte, f func([]byte, [][]byte) []byte) []byte {
	if !s.loggedIn {
		return appendReply(out, Failed, "need login")
	}
	return f(out, args)
}

func syntaxError(out []byte) []byte { return appendReply(out, SyntaxError, "Syntax Error") }

// slid carries out SLID spid: which selector is behind a kernel policy.
func (s *Session) slid(out []byte, args [][]byte) []byte {
	if len(args) != 1 {
		return syntaxError(out)
	}
	spid := leadingNumber(args[0])
	name, ok := s.handler.SelectorOf(spid)
	if !ok {
		return appendReply(out, NoSuchObject, fmt.Sprintf("No Such SPID(%d)", spid))
	}
	return appendReply(out, OK, name)
}

// leadingNumber reads the decimal digits that a word begins with, as the
// original does: no digit is 0, and no policy has that number. What exceeds 32
// bits is the largest number instead of a number modulo 2^32.
func leadingNumber(word []byte) uint32 {
	var n uint64
	for _, c := range word {
		if c < '0' || c > '9' {
			break
		}
		n = min(n*10+uint64(c-'0'), 1<<32-1)
	}
	return uint32(n)
}

// policy carries out POLICY DUMP, ADD and DELETE.
func (s *Session) policy(out []byte, args [][]byte) []byte {
	if len(args) == 0 {
		return syntaxError(out)
	}
	switch n := len(args); {
	case begins(args[0], "DUMP"):
		return s.policyDump(out)
	case begins(args[0], "ADD") && (n == 6 || n == 8):
		return s.policyAdd(out, args[1:])
	case begins(args[0], "DELETE") && (n == 2 || n == 5 || n == 7):
		return s.policyDelete(out, args[1:])
	}
	return syntaxError(out)
}

func (s *Session) policyDump(out []byte) []byte {
	entries := s.handler.Policies()
	if len(entries) == 0 {
		return appendReply(out, OKEmpty, "NO Policy Exists")
	}
	lines := make([]string, len(entries))
	for i, e := range entries {
		lines[i] = fmt.Sprintf("%s %d", e.Selector, e.SPID)
	}
	return appendReply(out, OK, lines...)
}

// stat carries out STAT: the counters of the name resolver.
func (s *Session) stat(out []byte, args [][]byte) []byte {
	if len(args) != 0 {
		return syntaxError(out)
	}
	names, values := StatNames(), s.handler.Stats()
	lines := make([]string, len(names))
	for i, name := range names {
		lines[i] = fmt.Sprintf("%s = %d", name, values[i])
	}
	return appendReply(out, OK, lines...)
}

// status carries out STATUS, an extension: the agent's state as JSON, which
// the client puts together from the lines' texts.
func (s *Session) status(out []byte, args [][]byte) []byte {
	if len(args) != 0 {
		return syntaxError(out)
	}
	raw, err := s.handler.Status()
	if err != nil {
		return appendError(out, err)
	}
	return appendJSON(out, raw)
}

// appendJSON appends JSON, cut into the lines of a reply.
func appendJSON(out []byte, raw json.RawMessage) []byte {
	var text bytes.Buffer // compact JSON holds no control character, so no line's end
	if err := json.Compact(&text, raw); err != nil {
		return appendError(out, fmt.Errorf("status is not JSON: %w", err))
	}
	return appendReply(out, OK, chunks(text.String())...)
}

// appendError appends a Handler's error.
func appendError(out []byte, err error) []byte {
	status := Failed
	if errors.Is(err, ErrNotFound) {
		status = NoSuchObject
	}
	return appendReply(out, status, "Operation Failed, "+err.Error())
}

// is tells whether a word is name, which is in upper case, in any case.
func is(word []byte, name string) bool { return len(word) == len(name) && begins(word, name) }

// begins tells whether a word begins with name, which is in upper case, in any case.
func begins(word []byte, name string) bool {
	if len(word) < len(name) {
		return false
	}
	for i := range len(name) {
		c := word[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}
