package spmif

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// line joins a client to a session without a socket.
type line struct {
	session *Session
	pending []byte // what the session has said
	closed  bool
}

func newLine(s *Session) *line { return &line{session: s, pending: s.Greeting()} }

func (l *line) Write(data []byte) (int, error) {
	if l.closed {
		return 0, io.ErrClosedPipe
	}
	var out []byte
	out, l.closed = l.session.Input(epoch(), data)
	l.pending = append(l.pending, out...)
	return len(data), nil
}

func (l *line) Read(p []byte) (int, error) {
	if len(l.pending) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 100)], l.pending) // replies arrive in pieces
	l.pending = l.pending[n:]
	return n, nil
}

func TestClientAndSession(t *testing.T) {
	for name, size := range map[string]int{"as the original": 20, "by default": 0} {
		t.Run(name, func(t *testing.T) {
			password := []byte("swordfish\n")
			agent := newToyAgent()
			s, err := NewSession(epoch(), agent, password, bytes.NewReader(make([]byte, 32)), Options{ChallengeSize: size})
			if err != nil {
				t.Fatal(err)
			}
			c := NewClient(newLine(s))
			if err := c.Login(password); err != nil {
				t.Fatal(err)
			}
			talk(t, c, agent)
			if err := c.Quit(); err != nil {
				t.Error(err)
			}
			if _, err := c.SLID(1); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("after QUIT: %v", err)
			}
		})
	}
}

// talk asks everything that a client can ask.
func talk(t *testing.T, c *Client, agent *toyAgent) {
	t.Helper()
	if name, err := c.SLID(2); name != "s_in" || err != nil {
		t.Errorf("SLID: %q, %v", name, err)
	}
	_, err := c.SLID(7)
	if !errors.Is(err, ErrNotFound) || err.Error() != "SLID: the agent answers 551 No Such SPID(7)" {
		t.Errorf("SLID of nothing: %v", err)
	}
	if got, err := c.PolicyDump(); err != nil || !reflect.DeepEqual(got, agent.policies) {
		t.Errorf("POLICY DUMP: %v, %v", got, err)
	}
	counters, err := c.Stat()
	if err != nil || len(counters) != 9 || counters[8] != (Counter{"CACHE TOTAL FQDN", 9}) {
		t.Errorf("STAT: %v, %v", counters, err)
	}
	status, err := c.Status()
	if err != nil || string(status) != `{"version":"1.0","uptime":42}` {
		t.Errorf("STATUS: %s, %v", status, err)
	}
	if got, err := c.SAList(); err != nil || !reflect.DeepEqual(got, agent.sas) {
		t.Errorf("SA LIST: %v, %v", got, err)
	}
	for _, remote := range []string{"", "peer"} {
		if ike, children, err := c.SAFlush(remote); ike != 1 || children != 1 || err != nil {
			t.Errorf("SA FLUSH %s: %d, %d, %v", remote, ike, children, err)
		}
	}
	if _, _, err := c.SAFlush("nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("SA FLUSH nobody: %v", err)
	}
	if want := []string{"", "peer"}; !reflect.DeepEqual(agent.flushed, want) {
		t.Errorf("flushed %q", agent.flushed)
	}
}

func TestClientWithNothingToShow(t *testing.T) {
	c := NewClient(newLine(loggedIn(t, &toyAgent{}, Options{})))
	c.greeted = true // the session's login is past; its challenge is gone
	c.r.Discard(len("220 \r\n"))
	if got, err := c.PolicyDump(); got != nil || err != nil {
		t.Errorf("POLICY DUMP: %v, %v", got, err)
	}
	if got, err := c.SAList(); got != nil || err != nil {
		t.Errorf("SA LIST: %v, %v", got, err)
	}
}

func TestClientWrongPassword(t *testing.T) {
	c := NewClient(newLine(newTestSession(t, newToyAgent(), Options{})))
	err := c.Login([]byte("wrong"))
	want := "wrong spmif password: LOGIN: the agent answers 550 FAILED(Internal Error)"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := c.Status(); err == nil || !strings.HasSuffix(err.Error(), "550 need login") {
		t.Errorf("STATUS: %v", err)
	}
	if err := c.Login([]byte("again")); err == nil {
		t.Error("a second login on one stream")
	}
}

// script is a server that says the same whatever it hears.
type script struct {
	io.Reader
	sent bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) { return s.sent.Write(p) }

func newScript(replies string) *script { return &script{Reader: strings.NewReader(replies)} }

func TestClientRefusesToSay(t *testing.T) {
	for _, remote := range []string{"a b", "a\r\nQUIT", "\x00", "a\tb", strings.Repeat("x", 600)} {
		s := newScript("220 AB\r\n250 SA Flushed ike 0 child 0\r\n")
		if _, _, err := NewClient(s).SAFlush(remote); err == nil {
			t.Errorf("SA FLUSH %.20q is sent", remote)
		}
		if s.sent.Len() != 0 {
			t.Errorf("SA FLUSH %.20q: sent %q", remote, s.sent.String())
		}
	}
}

func TestClientRefusesReplies(t *testing.T) {
	status := func(c *Client) error { _, err := c.Status(); return err }
	tests := []struct {
		name, replies string
		ask           func(*Client) error
		want          string
	}{
		{"closed", "", status, "closed the connection"},
		{"closed in a line", "220 AB", status, "closed the connection"},
		{"busy server", "421 full\r\n", status, "greeting: the agent answers 421 full"},
		{"no challenge", "220 \r\n", status, "no challenge"},
		{"two challenges", "220-A\r\n220 B\r\n", status, "no challenge"},
		{"no status", "hello\r\n", status, `"hello" is no line of a reply`},
		{"short line", "22\r\n", status, `"22" is no line of a reply`},
		{"strange mark", "220+A\r\n", status, `"220+A" is no line of a reply`},
		{"long line", "220 " + strings.Repeat("A", 5000) + "\r\n", status, "longer than 4096 octets"},
		{"status changes", "220 AB\r\n250-a\r\n550 b\r\n", status, "status 550 in a reply with status 250"},
		{"no JSON", "220 AB\r\n250 {\r\n", status, "not racoon2's agent"},
		{"no selector", "220 AB\r\n251\r\n", func(c *Client) error { _, err := c.SLID(1); return err }, "not one line"},
		{"policy without number", "220 AB\r\n250 s_out\r\n", func(c *Client) error { _, err := c.PolicyDump(); return err }, "no line of POLICY DUMP"},
		{"policy with a word", "220 AB\r\n250 s_out x\r\n", func(c *Client) error { _, err := c.PolicyDump(); return err }, "no line of POLICY DUMP"},
		{"counter without value", "220 AB\r\n250 A\r\n", func(c *Client) error { _, err := c.Stat(); return err }, "no line of STAT"},
		{"counter with a word", "220 AB\r\n250 A = b\r\n", func(c *Client) error { _, err := c.Stat(); return err }, "no line of STAT"},
		{"short SA", "220 AB\r\n250 ike X\r\n", func(c *Client) error { _, err := c.SAList(); return err }, "no line of SA LIST"},
		{"bad SA", "220 AB\r\n250 ike X 1:1 1:1 0 0 n\r\n", func(c *Client) error { _, err := c.SAList(); return err }, "no line of SA LIST"},
		{"no count", "220 AB\r\n250 flushed\r\n", func(c *Client) error { _, _, err := c.SAFlush(""); return err }, "reply to SA FLUSH"},
		{"two counts", "220 AB\r\n250-a\r\n250 b\r\n", func(c *Client) error { _, _, err := c.SAFlush(""); return err }, "not one line"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.ask(NewClient(newScript(tt.replies)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q in it", err, tt.want)
			}
		})
	}
}

// flood is a server whose reply never ends.
type flood struct{ script }

func (*flood) Read(p []byte) (int, error) {
	const line = "250-\r\n"
	n := 0
	for n+len(line) <= len(p) {
		n += copy(p[n:], line)
	}
	return n, nil
}

func TestClientBoundsReplies(t *testing.T) {
	c := NewClient(&flood{})
	c.greeted, c.limit = true, 1<<20
	if _, err := c.Status(); err == nil || !strings.Contains(err.Error(), "a reply is longer than") {
		t.Errorf("%v", err)
	}
}

func TestSAEntryOddNames(t *testing.T) {
	e := newToyAgent().sas[0]
	for _, tt := range []struct{ name, state, wantState string }{
		{"", "", ""},
		{"a remote with blanks", "IKE SA INIT sent", "IKE_SA_INIT_sent"},
	} {
		e.Name, e.State = tt.name, tt.state
		got, err := parseSAEntry(e.line())
		want := e
		want.State = tt.wantState
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", e.line(), got, err, want)
		}
	}
}
