package spmif

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of what a Client takes from a server.
const (
	maxReplyLine = 4096     // octets of one line with its CRLF
	maxReply     = 64 << 20 // octets of one reply's texts: the status of some 100,000 SAs
)

// ReplyError is a server's refusal.
type ReplyError struct {
	Command string // the verb that was refused
	Status  Status
	Text    string // the server's words
}

func (e *ReplyError) Error() string {
	return fmt.Sprintf("%s: the agent answers %03d %s", e.Command, int(e.Status), e.Text)
}

// Client asks a server over a stream. It speaks to racoon2's agent as well as
// to the original spmd and the 2026 fork's. It is not safe for concurrent use.
// After an error that is not a ReplyError the stream is of no more use.
// Time limits are the stream's.
type Client struct {
	w       io.Writer
	r       *bufio.Reader
	limit   int // maxReply; less in tests
	greeted bool
}

// NewClient returns a client on a stream that has just been opened.
func NewClient(rw io.ReadWriter) *Client {
	return &Client{w: rw, r: bufio.NewReaderSize(rw, maxReplyLine), limit: maxReply}
}

// Login waits for the greeting and proves the password, the content of the
// password file octet for octet. A server allows one attempt for each stream.
func (c *Client) Login(password []byte) error {
	challenge, err := c.greeting()
	if err != nil {
		return err
	}
	digits := upperHex(password)
	response := respond([]byte(challenge), digits)
	clear(digits)
	_, err = c.do("LOGIN", string(response))
	if refused := (*ReplyError)(nil); errors.As(err, &refused) {
		// The original says "FAILED(Internal Error)" whatever was wrong.
		return fmt.Errorf("wrong spmif password: %w", err)
	}
	return err
}

// greeting reads the server's first reply and returns the challenge in it.
func (c *Client) greeting() (string, error) {
	if c.greeted {
		return "", errors.New("spmif: a stream has one greeting, and one attempt to log in")
	}
	c.greeted = true
	status, lines, err := c.reply()
	switch {
	case err != nil:
		return "", err
	case status != Ready:
		return "", &ReplyError{Command: "greeting", Status: status, Text: strings.Join(lines, " ")}
	case len(lines) != 1 || lines[0] == "":
		return "", errors.New("spmif: the greeting has no challenge")
	}
	return lines[0], nil
}

// SLID returns the selector behind a kernel policy; a refusal wraps ErrNotFound
// when there is none.
func (c *Client) SLID(spid uint32) (string, error) {
	lines, err := c.do("SLID", strconv.FormatUint(uint64(spid), 10))
	if err != nil {
		return "", err
	}
	if len(lines) != 1 {
		return "", errors.New("spmif: the reply to SLID is not one line")
	}
	return lines[0], nil
}

// PolicyDump lists the installed policies with their selectors.
func (c *Client) PolicyDump() ([]PolicyEntry, error) {
	lines, err := c.do("POLICY DUMP")
	if err != nil || lines == nil {
		return nil, err
	}
	entries := make([]PolicyEntry, len(lines))
	for i, line := range lines {
		blank := strings.LastIndexByte(line, ' ')
		if blank < 0 {
			return nil, fmt.Errorf("spmif: %q is no line of POLICY DUMP", line)
		}
		spid, err := strconv.ParseUint(line[blank+1:], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("spmif: %q is no line of POLICY DUMP: %w", line, err)
		}
		entries[i] = PolicyEntry{Selector: line[:blank], SPID: uint32(spid)}
	}
	return entries, nil
}

// Counter is one line of STAT.
type Counter struct {
	Name  string
	Value uint64
}

// Stat returns the resolver's counters in the server's order.
func (c *Client) Stat() ([]Counter, error) {
	lines, err := c.do("STAT")
	if err != nil {
		return nil, err
	}
	counters := make([]Counter, len(lines))
	for i, line := range lines {
		name, value, ok := strings.Cut(line, " = ")
		if !ok {
			return nil, fmt.Errorf("spmif: %q is no line of STAT", line)
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("spmif: %q is no line of STAT: %w", line, err)
		}
		counters[i] = Counter{Name: name, Value: n}
	}
	return counters, nil
}

// Status returns the agent's whole state as JSON.
func (c *Client) Status() (json.RawMessage, error) {
	lines, err := c.do("STATUS")
	if err != nil {
		return nil, err
	}
	text := []byte(strings.Join(lines, ""))
	if !json.Valid(text) {
		// The original takes STATUS for STAT.
		return nil, errors.New("spmif: the reply to STATUS is not JSON; the server is not racoon2's agent")
	}
	return text, nil
}

// SAList lists the IKE SAs, each followed by its children.
func (c *Client) SAList() ([]SAEntry, error) {
	lines, err := c.do("SA LIST")
	if err != nil || lines == nil {
		return nil, err
	}
	entries := make([]SAEntry, len(lines))
	for i, line := range lines {
		if entries[i], err = parseSAEntry(line); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// SAFlush deletes the SAs of a remote, or all with remote "", and returns how
// many went. The peers are told.
func (c *Client) SAFlush(remote string) (ike, children int, err error) {
	var args []string
	if remote != "" {
		args = []string{remote}
	}
	lines, err := c.do("SA FLUSH", args...)
	if err != nil {
		return 0, 0, err
	}
	if len(lines) != 1 {
		return 0, 0, errors.New("spmif: the reply to SA FLUSH is not one line")
	}
	if n, err := fmt.Sscanf(lines[0], "SA Flushed ike %d child %d", &ike, &children); n != 2 {
		return 0, 0, fmt.Errorf("spmif: reply to SA FLUSH %q: %w", lines[0], err)
	}
	return ike, children, nil
}

// Quit ends the session; the server closes the stream.
func (c *Client) Quit() error {
	_, err := c.do("QUIT")
	return err
}

// do sends one command and returns its reply's lines: nil where the server has
// nothing to show, at least one line otherwise.
func (c *Client) do(command string, args ...string) ([]string, error) {
	line := []byte(command)
	for _, arg := range args {
		if arg == "" || strings.ContainsFunc(arg, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return nil, fmt.Errorf("spmif: %q cannot be said in this protocol, which ends words at blanks", arg)
		}
		line = append(append(line, ' '), arg...)
	}
	if len(line) > maxLine {
		return nil, fmt.Errorf("spmif: a %s command is too long: %d octets, at most %d", command, len(line), maxLine)
	}
	if !c.greeted {
		if _, err := c.greeting(); err != nil {
			return nil, err
		}
	}
	if _, err := c.w.Write(append(line, "\r\n"...)); err != nil {
		return nil, fmt.Errorf("spmif: %w", err)
	}
	status, lines, err := c.reply()
	switch {
	case err != nil:
		return nil, err
	case status == OKEmpty:
		return nil, nil
	case status == OK:
		return lines, nil
	}
	return nil, &ReplyError{Command: command, Status: status, Text: strings.Join(lines, " ")}
}

// Is makes errors.Is(err, ErrNotFound) hold for status 551.
func (e *ReplyError) Is(target error) bool {
	return target == ErrNotFound && e.Status == NoSuchObject
}

// reply reads one reply: lines that are marked with "-" after their status,
// and the last one, which is not. All have the same status.
func (c *Client) reply() (Status, []string, error) {
	var (
		status Status
		lines  []string
		size   int
	)
	for {
		line, err := c.readLine()
		if err != nil {
			return 0, nil, err
		}
		got, more, text, err := parseLine(line)
		if err != nil {
			return 0, nil, err
		}
		if lines != nil && got != status {
			return 0, nil, fmt.Errorf("spmif: status %03d in a reply with status %03d", int(got), int(status))
		}
		// A line without text costs memory, too.
		if size += len(text) + 16; size > c.limit {
			return 0, nil, fmt.Errorf("spmif: a reply is longer than %d octets", c.limit)
		}
		status, lines = got, append(lines, text)
		if !more {
			return status, lines, nil
		}
	}
}

// readLine reads up to LF and returns the line without its end.
func (c *Client) readLine() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	switch {
	case err == nil:
		return bytes.TrimRight(line, "\r\n"), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("spmif: a line of a reply is longer than %d octets", maxReplyLine)
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("spmif: the agent closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return nil, fmt.Errorf("spmif: %w", err)
}

// parseLine takes a line of a reply apart: three digits, "-" or a blank, text.
func parseLine(line []byte) (status Status, more bool, text string, err error) {
	if len(line) < 3 {
		return 0, false, "", fmt.Errorf("spmif: %q is no line of a reply", line)
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, "", fmt.Errorf("spmif: %q is no line of a reply", line)
		}
		status = status*10 + Status(c-'0')
	}
	if len(line) == 3 {
		return status, false, "", nil
	}
	if line[3] != '-' && line[3] != ' ' {
		return 0, false, "", fmt.Errorf("spmif: %q is no line of a reply", line)
	}
	return status, line[3] == '-', string(line[4:]), nil
}
