package spmif

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// toyAgent is a Handler with fixed answers.
type toyAgent struct {
	policies []PolicyEntry
	sas      []SAEntry
	status   json.RawMessage
	err      error
	flushed  []string

	fqdns          []string
	servers        []netip.Addr
	noResolver     error
	policyRequest  PolicyRequest
	migrateRequest MigrateRequest
}

func (a *toyAgent) SelectorOf(spid uint32) (string, bool) {
	for _, p := range a.policies {
		if p.SPID == spid {
			return p.Selector, true
		}
	}
	return "", false
}

func (a *toyAgent) Policies() []PolicyEntry { return a.policies }
func (a *toyAgent) Stats() [9]uint64        { return [9]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9} }
func (a *toyAgent) SAs() ([]SAEntry, error) { return a.sas, a.err }

func (a *toyAgent) Status() (json.RawMessage, error) { return a.status, a.err }

func (a *toyAgent) FlushSA(remote string) (ike, children int, err error) {
	if remote == "nobody" {
		return 0, 0, fmt.Errorf("remote %q %w", remote, ErrNotFound)
	}
	a.flushed = append(a.flushed, remote)
	return 1, 1, a.err
}

func newToyAgent() *toyAgent {
	return &toyAgent{
		policies: []PolicyEntry{{"s_out", 1}, {"s_in", 2}},
		sas: []SAEntry{{
			Name: "peer", State: "ESTABLISHED",
			Local: netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("192.0.2.2:500"),
			SPIs: [2]uint64{0x0100000000000001, 0x8f3a5c0000000002},
		}, {
			Child: true, Name: "s_out", State: "tunnel",
			Local: netip.MustParseAddrPort("192.0.2.1:0"), Remote: netip.MustParseAddrPort("192.0.2.2:0"),
			SPIs: [2]uint64{0xc0000001, 0xc0000002},
		}},
		fqdns:   []string{"www.example.com.", "*.corp.example.com."},
		servers: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")},
		status:  json.RawMessage("{\n  \"version\": \"1.0\",\n  \"uptime\": 42\n}"),
	}
}

func (a *toyAgent) FQDNs() ([]string, error) { return a.fqdns, a.noResolver }

func (a *toyAgent) FQDNsOf(addr netip.Addr) ([]string, error) {
	if addr == netip.MustParseAddr("10.9.0.3") {
		return []string{"www.example.com.", "web.example.com."}, a.noResolver
	}
	return nil, a.noResolver
}

func (a *toyAgent) AddFQDN(name string) error {
	if name == "www.example.com" {
		return fmt.Errorf("%s %w", name, ErrExists)
	}
	return a.noResolver
}

func (a *toyAgent) DeleteFQDN(name string) error {
	if name != "www.example.com" {
		return fmt.Errorf("%s %w", name, ErrNotFound)
	}
	return a.noResolver
}

func (a *toyAgent) Servers() ([]netip.Addr, error) { return a.servers, a.noResolver }

func (a *toyAgent) AddServer(addr netip.Addr) error {
	if slices.Contains(a.servers, addr) {
		return ErrExists
	}
	return a.noResolver
}

func (a *toyAgent) DeleteServer(addr netip.Addr) error {
	if a.noResolver == nil && !slices.Contains(a.servers, addr) {
		return ErrNotFound
	}
	return a.noResolver
}

func (a *toyAgent) ChangeServer(addr netip.Addr) error { return a.DeleteServer(addr) }

// selector fails for the one that is called none.
func selector(name string) error {
	if name == "none" {
		return fmt.Errorf("selector %s %w", name, ErrNotFound)
	}
	return nil
}

func (a *toyAgent) AddPolicy(r PolicyRequest) (string, string, error) {
	a.policyRequest = r
	if r.Selector == "s_in" {
		return "s_in", "s_out", nil
	}
	return "s_out", "s_in", selector(r.Selector)
}

func (a *toyAgent) DeletePolicy(r PolicyRequest) error {
	a.policyRequest = r
	return selector(r.Selector)
}

func (a *toyAgent) Migrate(r MigrateRequest) error {
	a.migrateRequest = r
	return selector(r.Selector)
}

func (a *toyAgent) ShowSA(name string) (json.RawMessage, error) {
	if name == "nobody" {
		return nil, fmt.Errorf("SA %s %w", name, ErrNotFound)
	}
	return json.RawMessage(`[ {"remote": "peer"} ]`), nil
}

func (a *toyAgent) DeleteSA(spi uint64) error {
	if spi == 1 {
		return fmt.Errorf("SPI %x %w", spi, ErrNotFound)
	}
	return nil
}

func (a *toyAgent) RekeySA(spi uint64) error   { return a.DeleteSA(spi) }
func (a *toyAgent) Initiate(name string) error { return selector(name) }
func (a *toyAgent) TakeDown(name string) (int, error) {
	return 1, selector(name)
}

// The login of the dialogue recorded with the original spmd.
const (
	passwordHex = "0D9208A6C7A709AE7AFFA69ED7AD6525"
	challenge40 = "8A3D7EDB66C88342DCEA72E56565655ED84D106C"
	response40  = "49FA403BC41D08139A72A09BD089523E6DDEF710"
)

func epoch() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func unhex(t testing.TB, digits string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// newTestSession returns a session with the challenge and password of the
// recorded dialogue.
func newTestSession(t testing.TB, h Handler, opts Options) *Session {
	t.Helper()
	opts.ChallengeSize = 20
	s, err := NewSession(epoch(), h, unhex(t, passwordHex), bytes.NewReader(unhex(t, challenge40)), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// loggedIn returns a session whose client has proved the password.
func loggedIn(t testing.TB, h Handler, opts Options) *Session {
	t.Helper()
	s := newTestSession(t, h, opts)
	out, closed := s.Input(epoch(), []byte("LOGIN "+response40+"\r\n"))
	if string(out) != "250 OK\r\n" || closed || !s.LoggedIn() {
		t.Fatalf("login: %q, closed %v", out, closed)
	}
	return s
}

func TestDialogues(t *testing.T) {
	for name, file := range map[string]string{
		"recorded with the original": "testdata/recorded.dialogue",
		"example of the protocol":    "PROTOCOL.md",
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			replay(t, string(text))
		})
	}
}

// replay plays a dialogue: "C: " is what the client sends, "S: " each line that
// it gets, "E: " what happens meanwhile; all else is text around it.
func replay(t *testing.T, text string) {
	s := newTestSession(t, newToyAgent(), Options{})
	got := string(s.Greeting())
	closed := false
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "C: "):
			if got != "" {
				t.Fatalf("line %d: unread reply %q", n+1, got)
			}
			var out []byte
			out, closed = s.Input(epoch(), []byte(line[3:]+"\r\n"))
			got = string(out)
		case strings.HasPrefix(line, "E: "):
			var e Event
			if err := json.Unmarshal([]byte(line[3:]), &e); err != nil {
				t.Fatalf("line %d: %v", n+1, err)
			}
			got += string(s.Event(e))
		case strings.HasPrefix(line, "S: "):
			want := line[3:] + "\r\n"
			if !strings.HasPrefix(got, want) {
				t.Fatalf("line %d: reply %q, want %q", n+1, got, want)
			}
			got = got[len(want):]
		}
	}
	if got != "" || !closed {
		t.Errorf("at the end: unread %q, closed %v", got, closed)
	}
}

func TestCommands(t *testing.T) {
	tests := []struct{ command, want string }{
		{"SLID 1", "250 s_out"},
		{"slid 2", "250 s_in"},
		{"SLIDX 1", "250 s_out"},
		{"  SLID\t 1 \t", "250 s_out"},
		{"SLID 01", "250 s_out"},
		{"SLID 7", "551 No Such SPID(7)"},
		{"SLID x", "551 No Such SPID(0)"},
		{"SLID 1x", "250 s_out"},
		{"SLID 99999999999999999999", "551 No Such SPID(4294967295)"},
		{"SLID", "500 Syntax Error"},
		{"SLID 1 2", "500 Syntax Error"},
		{"POLICY DUMP", "250-s_out 1\r\n250 s_in 2"},
		{"policy dumpx y", "250-s_out 1\r\n250 s_in 2"},
		{"POLICY", "500 Syntax Error"},
		{"POLICY SHOW", "500 Syntax Error"},
		{"POLICY ADD s_in 3600 transport 10.9.0.1/0", "500 Syntax Error"},
		{"POLICY ADD s_in 3600 transport 10.9.0.1/0 10.9.0.2/0", "250 Policy Added s_in and s_out"},
		{"POLICY ADD s_out 0 TUNNEL 10.1.0.0/16 10.2.0.0/16 192.0.2.1 192.0.2.2", "250 Policy Added s_out and s_in"},
		{"POLICY ADD none 0 transport 10.9.0.1 10.9.0.2", "550 Operation Failed, selector none does not exist"},
		{"POLICY ADD s_in x transport 10.9.0.1 10.9.0.2", "500 Syntax Error"},
		{"POLICY ADD s_in 1 both 10.9.0.1 10.9.0.2", "500 Syntax Error"},
		{"POLICY ADD s_in 1 tunnel 10.9.0.1/33 10.9.0.2", "500 Syntax Error"},
		{"POLICY ADD s_in 1 tunnel 10.9.0.1 host", "500 Syntax Error"},
		{"POLICY ADD s_in 1 tunnel 10.9.0.1 10.9.0.2 x 10.0.0.1", "500 Syntax Error"},
		{"POLICY ADD s_in 1 tunnel 10.9.0.1 10.9.0.2 10.0.0.1 x", "500 Syntax Error"},
		{"POLICY DELETE s_in", "250 Policy Deleted"},
		{"POLICY DELETE s_in transport 10.9.0.1/0 10.9.0.2/0", "250 Policy Deleted"},
		{"POLICY DELETE s_in sideways 10.9.0.1/0 10.9.0.2/0", "500 Syntax Error"},
		{"POLICY DELETE none", "550 Operation Failed, selector none does not exist"},
		{"POLICY DELETE", "500 Syntax Error"},
		{"STAT", "250-DNS QUERY = 1\r\n250-DNS RESPONSE = 2\r\n250-DNS QUERY PROXY = 3\r\n250-DNS RESPONSE PROXY = 4\r\n" +
			"250-DNS EXPIRED QUERY = 5\r\n250-DNS DUP QUERY = 6\r\n250-CACHE IP ADDRESS = 7\r\n250-CACHE FQDN = 8\r\n250 CACHE TOTAL FQDN = 9"},
		{"STAT now", "500 Syntax Error"},
		{"STATUS", `250 {"version":"1.0","uptime":42}`},
		{"status", `250 {"version":"1.0","uptime":42}`},
		{"STATUS now", "500 Syntax Error"},
		{"STATUSX now", "500 Syntax Error"}, // STAT, as the original has it
		{"SA", "500 Syntax Error"},
		{"SAX LIST", "502 Command not implemented"},
		{"sa flush", "250 SA Flushed ike 1 child 1"},
		{"SA FLUSH peer", "250 SA Flushed ike 1 child 1"},
		{"SA FLUSH nobody", `551 Operation Failed, remote "nobody" does not exist`},
		{"SA FLUSH a b", "500 Syntax Error"},
		{"SA DROP", "500 Syntax Error"},
		{"SA SHOW peer", `250 [{"remote":"peer"}]`},
		{"SA SHOW nobody", `551 Operation Failed, SA nobody does not exist`},
		{"SA DELETE c0000001", "250 SA Deleted"},
		{"SA DELETE 1", "551 Operation Failed, SPI 1 does not exist"},
		{"SA DELETE xyz", "500 Syntax Error"},
		{"SA DELETE 0", "500 Syntax Error"},
		{"SA REKEY c0000001", "250 SA Rekeyed"},
		{"SA INITIATE s_out", "250 SA Initiated"},
		{"SA DOWN s_out", "250 SA Down child 1"},
		{"sa down none", "551 Operation Failed, selector none does not exist"},
		{"SA INITIATE none", "551 Operation Failed, selector none does not exist"},
		{"SA TURN s_out", "500 Syntax Error"},
		{"WATCH now", "500 Syntax Error"},
		{"FQDN LIST", "250-www.example.com.\r\n250 *.corp.example.com."},
		{"FQDN QUERY 10.9.0.3", "250-www.example.com.\r\n250 web.example.com."},
		{"FQDN QUERY 10.9.0.2", "501 Not Cached"},
		{"FQDN QUERY fe80::1", "501 Not Cached"},
		{"FQDN QUERY host.example", "550 Operation Failed"},
		{"FQDN ADD host.example", "250 FQDN Registered"},
		{"FQDN ADD www.example.com", "550 Operation Failed, www.example.com exists already"},
		{"FQDN DELETE www.example.com", "250 FQDN Deregistered"},
		{"FQDN DELETE host.example", "550 Operation Failed, host.example does not exist"},
		{"FQDN", "500 Syntax Error"},
		{"NS LIST", "250-192.0.2.53\r\n250 2001:db8::53"},
		{"NS ADD 192.0.2.54", "250 Name Server Added"},
		{"NS ADD 192.0.2.53", "551 Name Server Exists"},
		{"NS ADD host", "550 Operation Failed, not an address: host"},
		{"NS CHANGE 192.0.2.53", "250 Name Server Changed"},
		{"NS CHANGE 192.0.2.55", "551 Name Server Not Exists"},
		{"NS DELETE 192.0.2.53", "250 Name Server Deleted"},
		{"NS TURN 192.0.2.53", "500 Syntax Error"},
		{"NS", "500 Syntax Error"},
		{"MIGRATE s_out 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", "250 Migrated"},
		{"MIGRATE none 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", "550 Operation Failed, selector none does not exist"},
		{"MIGRATE s_out 10.0.0.1 10.0.0.2 10.0.0.3 x", "500 Syntax Error"},
		{"MIGRATE s 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 x", "500 Syntax Error"},
		{"LOGIN " + response40, "550 FAILED(Internal Error)"}, // one attempt for each connection
		{"", "502 Command not implemented"},
		{"  ", "502 Command not implemented"},
		{"HELO", "502 Command not implemented"},
		{"SLI 1", "502 Command not implemented"},
		{strings.Repeat("A", 512), "502 Command not implemented"},
		{strings.Repeat("A", 513), "500 Syntax Error, line is longer than 512 octets"},
		{"QUIT" + strings.Repeat("A", 10000), "500 Syntax Error, line is longer than 512 octets"},
	}
	for _, tt := range tests {
		s := loggedIn(t, newToyAgent(), Options{})
		out, closed := s.Input(epoch(), []byte(tt.command+"\r\n"))
		if string(out) != tt.want+"\r\n" || closed {
			t.Errorf("%.60q: %q, closed %v; want %q", tt.command, out, closed, tt.want)
		}
	}
}

func TestNothingToShow(t *testing.T) {
	s := loggedIn(t, &toyAgent{}, Options{})
	for command, want := range map[string]string{
		"POLICY DUMP": "251 NO Policy Exists\r\n",
		"SA LIST":     "251 NO SA Exists\r\n",
		"STATUS":      "550 Operation Failed, status is not JSON: unexpected end of JSON input\r\n",
	} {
		if out, _ := s.Input(epoch(), []byte(command+"\n")); string(out) != want {
			t.Errorf("%s: %q, want %q", command, out, want)
		}
	}
}

func TestHandlerErrorsStayOnOneLine(t *testing.T) {
	s := loggedIn(t, &toyAgent{err: errors.New("engine\r\n250 is\x00 busy" + strings.Repeat("y", 2000))}, Options{})
	for _, command := range []string{"STATUS", "SA LIST", "SA FLUSH"} {
		out, _ := s.Input(epoch(), []byte(command+"\r\n"))
		if !strings.HasPrefix(string(out), "550 Operation Failed, engine??250 is? busyyy") || bytes.Count(out, []byte("\n")) != 1 || len(out) > 1000 {
			t.Errorf("%s: %q", command, out)
		}
	}
}

func TestBeforeLogin(t *testing.T) {
	tests := []struct {
		command, want string
		closed        bool
	}{
		{"SLID 1", "550 need login", false},
		{"POLICY DUMP", "550 need login", false},
		{"STAT", "550 need login", false},
		{"FQDN LIST", "550 need login", false},
		{"NS LIST", "550 Need Login", false},
		{"MIGRATE", "550 need login", false},
		{"STATUS", "550 need login", false},
		{"SA FLUSH", "550 need login", false},
		{"HELP", "502 Command not implemented", false},
		{"LOGIN", "550 FAILED(Internal Error)", false},
		{"LOGIN " + strings.Repeat("0", 40), "550 FAILED(Internal Error)", false},
		{"LOGIN " + strings.ToLower(response40), "550 FAILED(Internal Error)", false},
		{"LOGIN " + response40 + "0", "550 FAILED(Internal Error)", false},
		{"LOGIN " + response40 + " again", "550 FAILED(Internal Error)", false},
		{"LOGIN " + response40, "250 OK", false},
		{"loginx " + response40, "250 OK", false},
		{"QUIT", "250 BYE", true},
		{"exit now", "250 BYE", true},
	}
	for _, tt := range tests {
		a := newToyAgent()
		s := newTestSession(t, a, Options{})
		out, closed := s.Input(epoch(), []byte(tt.command+"\r\n"))
		if string(out) != tt.want+"\r\n" || closed != tt.closed {
			t.Errorf("%q: %q, closed %v; want %q", tt.command, out, closed, tt.want)
		}
		if a.flushed != nil {
			t.Errorf("%q reached the agent", tt.command)
		}
	}
}

func TestOneAttemptToLogIn(t *testing.T) {
	s := newTestSession(t, newToyAgent(), Options{})
	out, closed := s.Input(epoch(), []byte("LOGIN wrong\r\nLOGIN "+response40+"\r\nSLID 1\r\n"))
	want := "550 FAILED(Internal Error)\r\n550 FAILED(Internal Error)\r\n550 need login\r\n"
	if string(out) != want || closed || s.LoggedIn() {
		t.Errorf("%q, closed %v", out, closed)
	}
}

func TestEmptyPasswordLetsNobodyIn(t *testing.T) {
	for _, f := range []func(challenge, password []byte) []byte{responseSHA1, responseSHA256} {
		s, err := NewSession(epoch(), newToyAgent(), nil, bytes.NewReader(make([]byte, 32)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		response := f(s.challenge, nil)
		if out, _ := s.Input(epoch(), append([]byte("LOGIN "), append(response, '\n')...)); string(out) != "550 FAILED(Internal Error)\r\n" {
			t.Errorf("%q", out)
		}
	}
}

// Commands arrive in any pieces and any number at once.
func TestPiecesAndPipelines(t *testing.T) {
	script := "LOGIN " + response40 + "\r\nSLID 1\r\n" + strings.Repeat("z", 600) + "\r\nPOLICY DUMP\nSTATUS\r\nQUIT\r\nSLID 1\r\n"
	want := "250 OK\r\n250 s_out\r\n500 Syntax Error, line is longer than 512 octets\r\n250-s_out 1\r\n250 s_in 2\r\n" +
		"250 {\"version\":\"1.0\",\"uptime\":42}\r\n250 BYE\r\n" // nothing after QUIT
	for _, size := range []int{1, 2, 3, 7, 64, 511, 512, 513, 4096} {
		s := newTestSession(t, newToyAgent(), Options{})
		var got []byte
		var closed bool
		for rest := []byte(script); len(rest) > 0; {
			n := min(size, len(rest))
			var out []byte
			out, closed = s.Input(epoch(), rest[:n])
			got, rest = append(got, out...), rest[n:]
		}
		if string(got) != want || !closed {
			t.Errorf("pieces of %d: %q, closed %v", size, got, closed)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Run("commands before login", func(t *testing.T) {
		s := newTestSession(t, newToyAgent(), Options{LoginCommands: 2})
		out, closed := s.Input(epoch(), []byte("A\r\nB\r\nC\r\nLOGIN "+response40+"\r\n"))
		if want := strings.Repeat("502 Command not implemented\r\n", 2) + "550 too many commands\r\n"; string(out) != want || !closed {
			t.Errorf("%q, closed %v", out, closed)
		}
	})
	t.Run("commands after login", func(t *testing.T) {
		s := loggedIn(t, newToyAgent(), Options{MaxCommands: 1})
		out, closed := s.Input(epoch(), []byte("SLID 1\r\nSLID 1\r\n"))
		if string(out) != "250 s_out\r\n550 too many commands\r\n" || !closed {
			t.Errorf("%q, closed %v", out, closed)
		}
	})
	t.Run("burst", func(t *testing.T) {
		a := newToyAgent()
		a.status = json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
		s := loggedIn(t, a, Options{})
		out, closed := s.Input(epoch(), bytes.Repeat([]byte("STATUS\n"), 500))
		if !closed || len(out) > 2*maxBurst || !strings.HasSuffix(string(out), "550 too much asked for at once\r\n") {
			t.Errorf("%d octets, closed %v", len(out), closed)
		}
	})
	t.Run("time to log in", func(t *testing.T) {
		s := newTestSession(t, newToyAgent(), Options{})
		due, ok := s.Deadline()
		if !ok || !due.Equal(epoch().Add(30*time.Second)) {
			t.Fatalf("deadline %v %v", due, ok)
		}
		s.Input(epoch().Add(20*time.Second), []byte("NOISE\r\n")) // does not prolong it
		if out, closed := s.Timeout(due.Add(-1)); out != nil || closed {
			t.Errorf("early: %q, closed %v", out, closed)
		}
		if out, closed := s.Timeout(due); string(out) != "550 timeout\r\n" || !closed {
			t.Errorf("%q, closed %v", out, closed)
		}
		if _, ok := s.Deadline(); ok {
			t.Error("a closed session has a deadline")
		}
		if out, closed := s.Input(due, []byte("QUIT\r\n")); out != nil || !closed {
			t.Errorf("after its end: %q, closed %v", out, closed)
		}
	})
	t.Run("silence", func(t *testing.T) {
		s := loggedIn(t, newToyAgent(), Options{IdleTime: time.Minute})
		s.Input(epoch().Add(30*time.Second), []byte("SLID 1\r\n"))
		if due, ok := s.Deadline(); !ok || !due.Equal(epoch().Add(90*time.Second)) {
			t.Errorf("deadline %v %v", due, ok)
		}
		if _, ok := loggedIn(t, newToyAgent(), Options{}).Deadline(); ok {
			t.Error("by default a session that has logged in may be silent")
		}
	})
}

func TestStatusIsCutAtRunes(t *testing.T) {
	a := newToyAgent()
	text := `{"a":"` + strings.Repeat("é", 2000) + strings.Repeat("x", 899) + "\xff\xff\xff\xff" + `"}`
	a.status = json.RawMessage(text)
	out, _ := loggedIn(t, a, Options{}).Input(epoch(), []byte("STATUS\r\n"))
	var joined strings.Builder
	lines := strings.Split(strings.TrimSuffix(string(out), "\r\n"), "\r\n")
	for i, line := range lines {
		mark := "250-"
		if i == len(lines)-1 {
			mark = "250 "
		}
		body, ok := strings.CutPrefix(line, mark)
		if !ok || len(body) > 900 || body == "" {
			t.Fatalf("line %d: %d octets %.20q", i, len(body), line)
		}
		joined.WriteString(body)
	}
	if joined.String() != text {
		t.Error("the lines put together are not the JSON text")
	}
}

func TestSecretsAreWiped(t *testing.T) {
	for name, end := range map[string]func(*Session){
		"login":   func(s *Session) { s.Input(epoch(), []byte("LOGIN x\r\n")) },
		"close":   func(s *Session) { s.Close() },
		"timeout": func(s *Session) { s.Timeout(epoch().Add(time.Hour)) },
		"quit":    func(s *Session) { s.Input(epoch(), []byte("QUIT\r\n")) },
	} {
		s := newTestSession(t, newToyAgent(), Options{})
		password := s.password
		end(s)
		if len(bytes.Trim(password, "\x00")) != 0 || s.password != nil || s.challenge != nil {
			t.Errorf("%s leaves the password", name)
		}
	}
}

func TestNoRandomness(t *testing.T) {
	if _, err := NewSession(epoch(), newToyAgent(), []byte("x"), strings.NewReader("short"), Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}
