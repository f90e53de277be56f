//go:build linux

package integration

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/agent"
)

// newTickets makes left forget its tickets.
func (p *kinkPair) newTickets() {
	p.a.kill(15)
	p.a.start()
}

// The key of right changes at the KDC. With the new keytab in place right takes
// new tickets without a restart; without it, it says what is wrong, until the
// keytab comes.
func TestKINKRotatedKeytab(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	w := p.up(t)
	mitKDC{}.extract(p.kdc, "right.keytab", rightPrincipal) // beside the old key
	p.newTickets()
	ping(t, p.topology.left, p.src, p.dst, 20*time.Second)
	if versions := p.b.status().KINK.Principals[0].KeyVersions; len(versions) != 2 {
		t.Errorf("key versions %v", versions)
	}

	mitKDC{}.extract(p.kdc, "later.keytab", rightPrincipal)
	p.newTickets()
	noPing(t, p.topology.left, p.src, p.dst, 5)
	waitFor(t, 20*time.Second, "the reason in right's log", func() bool { return strings.Contains(p.b.log(), "KRB_AP_ERR_BADKEYVER") })
	later, err := os.ReadFile(p.kdc.path("later.keytab"))
	must(t, err)
	must(t, os.WriteFile(p.kdc.path("new"), later, 0o600))
	must(t, os.Rename(p.kdc.path("new"), p.kdc.path("right.keytab")))
	ping(t, p.topology.left, p.src, p.dst, 90*time.Second)
	w.wantNoClear()
}

// User-to-user tickets: the KDC gives nothing else, or the configuration says so.
// A responder that has lost its TGT in a restart is no obstacle; one that does
// not want any part in it is.
func TestKINKUserToUser(t *testing.T) {
	for name, change := range map[string]func(*kinkPair){
		"the KDC asks for it":  func(p *kinkPair) { mitKDC{}.change(p.kdc, rightPrincipal, "-allow_svr") },
		"configured":           func(p *kinkPair) { p.left.KINK, p.right.KINK = "user_to_user on;", "user_to_user require;" },
		"the peer asks for it": func(p *kinkPair) { p.right.KINK = "user_to_user require;" },
	} {
		t.Run(name, func(t *testing.T) {
			p := newKINK(t, "v4", "transport")
			change(p)
			w := p.up(t)
			tickets := p.a.status().KINK.Principals[0].Tickets
			if !slices.ContainsFunc(tickets, func(k agent.KINKTicket) bool { return k.UserToUser }) {
				t.Errorf("tickets: %+v", tickets)
			}
			p.b.kill(9)
			p.b.start()
			p.a.mustCtl("sa", "flush")
			ping(t, p.topology.left, p.src, p.dst, 60*time.Second)
			w.wantNoClear()
		})
	}
	t.Run("denied", func(t *testing.T) {
		p := newKINK(t, "v4", "transport")
		p.left.KINK, p.right.KINK = "user_to_user require; max_retry_to_send 1;", "user_to_user off;"
		w := p.watch(t)
		p.start()
		noPing(t, p.topology.left, p.src, p.dst, 5)
		waitFor(t, 20*time.Second, "the refusal in left's log", func() bool { return strings.Contains(p.a.log(), "KINK_U2UDENIED") })
		w.wantNoClear()
	})
}

// check tells with one command what is wrong, without a running agent.
func TestKINKCheck(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	mitKDC{}.extract(p.kdc, "stale.keytab", leftPrincipal)
	stale, err := os.ReadFile(p.kdc.path("stale.keytab"))
	must(t, err)
	mitKDC{}.extract(p.kdc, "left.keytab", leftPrincipal) // which makes the other one stale
	p.kdc.write("stale.keytab", string(stale))
	p.kdc.write("empty.keytab", "\x05\x02")
	p.kdc.write("elsewhere.conf", "[libdefaults]\n\tdefault_realm = EXAMPLE.TEST\n\tdns_lookup_kdc = false\n[realms]\n\tEXAMPLE.TEST = {\n\t\tkdc = 203.0.113.77\n\t}\n")
	for _, test := range []struct {
		name   string
		change func(c *kinkConfig)
		status int
		want   string // what is wrong; "" is nothing
	}{
		{"all is well", func(*kinkConfig) {}, 0, ""},
		{"no keytab", func(c *kinkConfig) { c.Keytab = p.kdc.path("nothing") }, 1, "no such file"},
		{"no key", func(c *kinkConfig) { c.Keytab = p.kdc.path("empty.keytab") }, 1, "has no key of"},
		{"another's keytab", func(c *kinkConfig) { c.Keytab = p.kdc.path("right.keytab") }, 1, "has no key of"},
		{"stale key", func(c *kinkConfig) { c.Keytab = p.kdc.path("stale.keytab") }, 1, "extract it again"},
		{"unknown name", func(c *kinkConfig) { c.Mine = "kink/nobody.example.test@" + realmName }, 1, "has no key of"},
		{"unknown peer", func(c *kinkConfig) { c.Peers = "kink/nobody.example.test@" + realmName }, 1, "KDC_ERR_S_PRINCIPAL_UNKNOWN"},
		{"unknown realm", func(c *kinkConfig) { c.Mine = leftPrincipal + "@NOWHERE.TEST" }, 1, "krb5.conf has no KDC of NOWHERE.TEST"},
		{"no KDC there", func(c *kinkConfig) { c.Krb5 = p.kdc.path("elsewhere.conf") }, 1, "no KDC of EXAMPLE.TEST answers"},
		{"malformed", func(c *kinkConfig) { c.Mine = "kink/a@b@c" }, 2, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := p.left
			test.change(&c)
			p.a.write("racoon2.conf", c.render())
			out, err := p.a.ctl("kink", "check", "--json", "-c", p.a.config)
			if got := exitStatus(err); got != test.status {
				t.Fatalf("exit status %d, want %d: %v\n%s", got, test.status, err, out)
			}
			if test.status == 2 {
				return
			}
			var found []agent.KINKCheck
			must(t, json.Unmarshal([]byte(out), &found))
			wrong := ""
			for _, f := range found[0].Findings {
				if !f.OK {
					wrong += f.Text
				}
			}
			if !strings.Contains(wrong, test.want) || (test.want == "") != (wrong == "") {
				t.Errorf("wrong is %q, want %q in it\n%s", wrong, test.want, out)
			}
		})
	}
}

// exitStatus is that of a command.
func exitStatus(err error) int {
	var e *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitCode()
	}
	return -1
}
