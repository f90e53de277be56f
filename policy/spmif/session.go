package spmif

import (
	"bytes"
	"io"
	"time"
)

// Options bound a session. The zero value has the defaults.
type Options struct {
	// ChallengeSize is the challenge's length in octets: 32 by default, which
	// tells clients of ours to answer with HMAC-SHA-256; 20 as the original.
	// Clients of either kind take both.
	ChallengeSize int
	// LoginTime closes a session that has not logged in by then; default 30 s.
	LoginTime time.Duration
	// LoginCommands is how many commands a session may try before it has
	// logged in; default 8.
	LoginCommands int
	// IdleTime closes a session that logged in and then stays silent; 0 never.
	// The original's daemons keep a silent session for days, and end
	// themselves when it closes.
	IdleTime time.Duration
	// MaxCommands closes a session after so many commands; 0 is no bound.
	MaxCommands int
}

// The defaults of Options, and the bound that has no option.
const (
	defaultLoginTime     = 30 * time.Second
	defaultLoginCommands = 8
	maxBurst             = 4 << 20 // octets of replies from which on a burst of commands is cut off
)

func (o Options) withDefaults() Options {
	if o.ChallengeSize <= 0 {
		o.ChallengeSize = sha256Challenge
	}
	if o.LoginTime <= 0 {
		o.LoginTime = defaultLoginTime
	}
	if o.LoginCommands <= 0 {
		o.LoginCommands = defaultLoginCommands
	}
	return o
}

// Session is the server's side of one connection. It is not safe for
// concurrent use.
type Session struct {
	handler Handler
	opts    Options

	challenge []byte // nil after the one LOGIN
	password  []byte // upper-case hexadecimal; wiped with the challenge
	loggedIn  bool
	closed    bool
	watching  bool   // WATCH goes on
	missed    uint64 // events that could not be sent

	line     []byte // what has arrived of the current line, at most maxLine octets
	overlong bool   // the current line is longer; its rest is skipped
	commands int
	started  time.Time
	heard    time.Time // end of the last command
}

// NewSession begins a session for a client that has just connected. password
// is the content of the password file, octet for octet (a trailing newline
// counts); the session keeps its own copy until the client's one attempt to
// log in. The error is rand's.
func NewSession(now time.Time, h Handler, password []byte, rand io.Reader, opts Options) (*Session, error) {
	opts = opts.withDefaults()
	challenge, err := newChallenge(rand, opts.ChallengeSize)
	if err != nil {
		return nil, err
	}
	return &Session{
		handler:   h,
		opts:      opts,
		challenge: challenge,
		password:  upperHex(password),
		line:      make([]byte, 0, maxLine),
		started:   now,
		heard:     now,
	}, nil
}

// Greeting is what the server sends first: status 220 and the challenge.
func (s *Session) Greeting() []byte {
	return appendReply(nil, Ready, string(s.challenge))
}

// LoggedIn tells whether the client has proved the password.
func (s *Session) LoggedIn() bool { return s.loggedIn }

// Refused tells whether the client has tried to log in, in vain.
func (s *Session) Refused() bool { return !s.loggedIn && s.challenge == nil }

// Commands counts what the client has asked for, for those who bound its rate.
func (s *Session) Commands() int { return s.commands }

// Input takes what arrived, at most a few KiB at a time, and returns what to
// send. Commands may be split and pipelined at will; each gets its reply, in
// order. After close the caller sends out and closes the connection.
func (s *Session) Input(now time.Time, data []byte) (out []byte, close bool) {
	for len(data) > 0 && !s.closed {
		var full bool
		data, full = s.gather(data)
		if !full {
			break
		}
		out = s.command(out)
		s.heard = now
	}
	if s.closed {
		s.wipe()
	}
	return out, s.closed
}

// gather moves octets of data up to a line's end into s.line. The original
// ends lines with CRLF; a bare LF is taken too.
func (s *Session) gather(data []byte) (rest []byte, full bool) {
	end := bytes.IndexByte(data, '\n')
	part := data
	if end >= 0 {
		part, rest, full = data[:end], data[end+1:], true
	}
	if room := maxLine - len(s.line); len(part) > room {
		// The CR of a line that is exactly as long as allowed may be in excess.
		s.overlong = s.overlong || len(part) > room+1 || part[room] != '\r'
		part = part[:room]
	}
	s.line = append(s.line, part...)
	return rest, full
}

// command carries out the line that is complete and appends its reply.
func (s *Session) command(out []byte) []byte {
	overlong := s.overlong
	args := fields(s.line)
	defer func() {
		clear(s.line) // a LOGIN is not kept longer than needed
		s.line, s.overlong = s.line[:0], false
	}()

	out = s.endWatch(out)
	s.commands++
	limit := s.opts.MaxCommands
	if !s.loggedIn && (limit == 0 || s.opts.LoginCommands < limit) {
		limit = s.opts.LoginCommands
	}
	switch {
	case limit > 0 && s.commands > limit:
		s.closed = true
		return appendReply(out, Failed, "too many commands")
	case len(out) > maxBurst:
		s.closed = true
		return appendReply(out, Failed, "too much asked for at once")
	case overlong:
		return appendReply(out, SyntaxError, "Syntax Error, line is longer than 512 octets")
	}
	return s.dispatch(out, args)
}

// Deadline is when Timeout is due: the end of the time to log in, or of the
// silence allowed after that.
func (s *Session) Deadline() (time.Time, bool) {
	switch {
	case s.closed:
		return time.Time{}, false
	case !s.loggedIn:
		return s.started.Add(s.opts.LoginTime), true
	case s.opts.IdleTime > 0 && !s.watching:
		return s.heard.Add(s.opts.IdleTime), true
	}
	return time.Time{}, false
}

// Timeout tells the session the time; when its deadline has passed, it ends.
func (s *Session) Timeout(now time.Time) (out []byte, close bool) {
	due, ok := s.Deadline()
	if !ok || now.Before(due) {
		return nil, s.closed
	}
	s.closed = true
	s.wipe()
	return appendReply(nil, Failed, "timeout"), true
}

// Close wipes what the session holds; the connection has gone.
func (s *Session) Close() {
	s.closed = true
	s.wipe()
}

func (s *Session) wipe() {
	clear(s.password)
	clear(s.line[:cap(s.line)])
	s.challenge, s.password = nil, nil
}

// login carries out LOGIN. There is one attempt: whatever it brought, the
// challenge is gone, and later ones fail (as in the original).
func (s *Session) login(out []byte, args [][]byte) []byte {
	ok := len(args) == 1 && s.challenge != nil && checkResponse(args[0], s.challenge, s.password)
	clear(s.password)
	s.challenge, s.password = nil, nil
	if !ok {
		return appendReply(out, Failed, "FAILED(Internal Error)")
	}
	s.loggedIn = true
	s.commands = 0
	return appendReply(out, OK, "OK")
}

// fields splits a line at blanks, as the original does; white space at the
// line's end, the CR among it, does not count.
func fields(line []byte) [][]byte {
	line = bytes.TrimRight(line, " \t\r\v\f")
	return bytes.FieldsFunc(line, func(r rune) bool {
		return r == ' ' || r == '\t' || r == '\r' || r == '\v' || r == '\f'
	})
}
