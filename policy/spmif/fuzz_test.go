package spmif

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// FuzzSession feeds a server session octets in pieces of every size: it says
// only well-formed replies, reaches the agent only after a login, and the
// pieces make no difference.
func FuzzSession(f *testing.F) {
	login := "LOGIN " + response40 + "\r\n"
	for _, commands := range []string{
		login + "SLID 1\r\nSLID 9\r\nSLID\r\nPOLICY DUMP\r\nPOLICY ADD s 1 tunnel a b c d\r\nPOLICY DELETE s\r\nPOLICY\r\n",
		login + "STAT\r\nSTAT x\r\nSTATUS\r\nSTATUS x\r\nSA LIST\r\nSA FLUSH\r\nSA FLUSH peer\r\nSA FLUSH nobody\r\nSA\r\n",
		login + "FQDN LIST\r\nFQDN QUERY ::1\r\nFQDN QUERY x\r\nFQDN ADD x\r\nFQDN\r\nNS LIST\r\nNS ADD x\r\nNS\r\nMIGRATE\r\nMIGRATE 1 2 3 4 5 6\r\n",
		login + "POLICY ADD s 1 tunnel 10.0.0.1 10.0.0.2/8 ::1 ::2\r\nPOLICY ADD s 1 transport ::/0 ::1/200\r\nPOLICY DELETE s tunnel a b\r\nMIGRATE s 1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4\r\nMIGRATE s a b c d\r\n",
		login + "FQDN QUERY 10.9.0.3\r\nFQDN ADD www.example.com\r\nFQDN DELETE x\r\nNS ADD 192.0.2.53\r\nNS DELETE 192.0.2.1\r\nNS CHANGE ::1\r\nNS X ::1\r\n",
		login + "SA SHOW peer\r\nSA SHOW nobody\r\nSA DELETE 1\r\nSA DELETE ff\r\nSA REKEY ff\r\nSA INITIATE s\r\nSA INITIATE none\r\nSA DOWN s\r\nSA X y\r\nWATCH\r\nSLID 1\r\nWATCH x\r\n",
		login + strings.Repeat("x", 600) + "\r\n\r\n \r\nquit\r\n",
		"NS LIST\r\nSA FLUSH\r\nLOGIN\r\n" + login + "EXIT\r\n",
		"LOGIN " + strings.Repeat("A", 64) + "\n",
		strings.Repeat("\n", 20),
	} {
		f.Add([]byte(commands), uint8(3))
	}
	reply := regexp.MustCompile(`^(?:[0-9]{3}[- ][^\r\n\x00]*\r\n)*[0-9]{3} [^\r\n\x00]*\r\n$`)
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		if len(data) > 64<<10 {
			return
		}
		run := func(size int) (string, bool, *toyAgent, *Session) {
			agent := newToyAgent()
			s := newTestSession(t, agent, Options{})
			var got []byte
			var closed bool
			for rest := data; len(rest) > 0 && !closed; {
				var out []byte
				n := min(size, len(rest))
				out, closed = s.Input(epoch(), rest[:n])
				got, rest = append(got, out...), rest[n:]
			}
			return string(s.endWatch(got)), closed, agent, s
		}
		whole, closed, agent, s := run(len(data))
		pieces, closed2, _, _ := run(int(piece) + 1)
		if whole != pieces || closed != closed2 {
			t.Fatalf("at once %q %v, in pieces %q %v", whole, closed, pieces, closed2)
		}
		if whole != "" && !reply.MatchString(whole) {
			t.Fatalf("malformed reply %q", whole)
		}
		if !s.LoggedIn() && len(agent.flushed) > 0 {
			t.Fatal("a command reached the agent without a login")
		}
		if s.LoggedIn() && !bytes.Contains(data, []byte(response40)) {
			t.Fatal("logged in without the password")
		}
		if cap(s.line) > maxLine {
			t.Fatalf("line buffer of %d octets", cap(s.line))
		}
	})
}

// FuzzClientReply lets a client read arbitrary octets for the replies to all
// that it can ask.
func FuzzClientReply(f *testing.F) {
	for _, replies := range []string{
		"220 " + challenge40 + "\r\n250 OK\r\n250 s_out\r\n250-s_out 1\r\n250 s_in 2\r\n250-DNS QUERY = 1\r\n250 CACHE = 2\r\n" +
			"250-{\"a\":\r\n250 1}\r\n250-ike X 192.0.2.1:500 [2001:db8::1]:500 01 02 a b\r\n250 child tunnel 192.0.2.1:0 192.0.2.2:0 1 2 -\r\n" +
			"250 SA Flushed ike 1 child 2\r\n250 BYE\r\n",
		"220 AB\r\n550 FAILED\r\n551 No\r\n251 NO Policy Exists\r\n500 Syntax Error\r\n502 no\r\n251 none\r\n551 no\r\n250\r\n",
		"220 A\r\n250 OK\r\n251\n251\n251\n251\n251\n251\n251\n",
		"220-a\r\n", "220 \r\n", "22\r\n", "2x0 a\r\n", "220+a\r\n", strings.Repeat("A", 5000), "250-a\r\n250 b\n",
		"220 A\r\n250 OK\r\n250-a\r\n550 b\r\n",
		"220 A\r\n250 OK\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n",
		"220 A\r\n250 OK\r\n250 x\r\n250 x y\r\n250 x = y\r\n250 {}\r\n250 ike 1 2 3 4 5 6\r\n250-x\r\n250 x\r\n",
	} {
		f.Add([]byte(replies))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := NewClient(newScript(string(data)))
		_ = c.Login([]byte("secret"))
		_, _ = c.SLID(1)
		policies, _ := c.PolicyDump()
		_, _ = c.Stat()
		_, _ = c.Status()
		sas, _ := c.SAList()
		_, _, _ = c.SAFlush("peer")
		_ = c.Quit()
		if len(policies)+len(sas) > len(data) {
			t.Fatalf("%d entries from %d octets", len(policies)+len(sas), len(data))
		}
		for _, e := range sas {
			again, err := parseSAEntry(e.line())
			if err != nil || e.line() != again.line() {
				t.Fatalf("%q: %v", e.line(), err)
			}
		}
	})
}
