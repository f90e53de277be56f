//go:build linux

package integration

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/agent"
	"racoon2/agent/logging"
)

// envClock makes this test binary an agent whose clock is off by the duration that
// a file has at the time: all namespaces share the host's clock, so that it is
// injected.
const envClock = "RACOON2_TEST_CLOCK"

// shifted gives an agent a clock that is off, and returns what sets by how much.
func (p *kinkPair) shifted(t *testing.T, r *racoon2) (set func(off string)) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	path := filepath.Join(r.dir, "clock")
	r.binary, r.env = self, []string{envClock + "=" + path}
	return func(off string) {
		t.Helper()
		must(t, os.WriteFile(path+".new", []byte(off), 0o600))
		must(t, os.Rename(path+".new", path))
	}
}

// runShifted is "racoon2 run" with another clock.
func runShifted(path string, args []string) int {
	now := func() time.Time {
		text, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		shift, err := time.ParseDuration(string(text))
		if err != nil {
			panic(err)
		}
		return time.Now().Add(shift)
	}
	var o agent.Options
	var level string
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.StringVar(&o.Config, "c", "", "")
	f.StringVar(&o.RunDir, "run-dir", "", "")
	f.StringVar(&o.Kernel, "kernel", "", "")
	f.StringVar(&level, "log-level", "", "")
	if err := f.Parse(args[1:]); err != nil {
		return 2
	}
	lowest, err := logging.ParseLevel(level)
	if err != nil {
		return 2
	}
	o.Now = now
	if o.Log, err = logging.Open(logging.Options{Level: lowest, Format: logging.Text, Destination: logging.Stderr, Now: o.Now}); err != nil {
		return 1
	}
	defer o.Log.Close()
	if err := agent.Run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// The clock of one agent is off by 20 minutes, four times what Kerberos allows.
// Tickets come all the same, with the KDC's clock as the measure, and so do SAs,
// whoever makes them.
func TestKINKClock(t *testing.T) {
	for _, off := range []string{"-20m", "20m"} {
		t.Run(off, func(t *testing.T) {
			p := newKINK(t, "v4", "transport")
			p.shifted(t, p.b)(off)
			p.left.KINK, p.right.KINK = "dpd_delay 2 sec;", "dpd_delay 2 sec;"
			w := p.up(t)
			shift, _ := time.ParseDuration(off)
			right := p.b.status().KINK
			if skew := right.Principals[0].Skew; math.Abs(skew+shift.Seconds()) > 5 {
				t.Errorf("the KDC's clock differs by %v s from right's, which is off by %v", skew, shift)
			}
			p.b.mustCtl("sa", "flush")
			waitFor(t, 20*time.Second, "left to hear of it", func() bool { return len(pairs(p.a.status(), false)) == 0 })
			ping(t, p.topology.right, p.dst, p.src, 20*time.Second)
			if _, c := p.one(t); c.Initiator {
				t.Error("left initiated")
			}
			// The pair stands though STATUS is asked for all the time.
			name, _ := p.one(t)
			heard := *p.a.status().KINK.Peers[0].LastHeard
			p.steady(t, 30*time.Second, "a STATUS", func() bool {
				time.Sleep(100 * time.Millisecond)
				return p.a.status().KINK.Peers[0].LastHeard.Sub(heard) > 5*time.Second
			})
			if now, _ := p.one(t); now != name {
				t.Error("the pair was replaced")
			}
			if text := p.b.mustCtl("kink", "status"); !strings.Contains(text, "the KDC's clock is") {
				t.Errorf("kink status says nothing of the clock:\n%s", text)
			}
			w.wantNoClear()
		})
	}
}

// A ticket that left believes in is refused by right as expired: right's clock is
// half an hour ahead now, and left has heard of that alone. It drops the ticket,
// has a new one from the KDC, which gives longer ones by now, and the traffic
// does not stop.
func TestKINKExpiredTicket(t *testing.T) {
	for _, way := range []string{"rekeying", "the first pair"} {
		t.Run(way, func(t *testing.T) {
			p := newKINK(t, "v4", "transport")
			mitKDC{}.change(p.kdc, rightPrincipal, `-maxlife "4 minutes"`)
			set := p.shifted(t, p.b)
			set("0s")
			w := p.up(t)
			name, _ := p.one(t)
			ends := p.ticketEnds()
			mitKDC{}.change(p.kdc, rightPrincipal, `-maxlife "8 hours"`)
			if way != "rekeying" {
				p.a.mustCtl("sa", "flush")
				waitFor(t, 20*time.Second, "right to hear of it", func() bool { return len(pairs(p.b.status(), false)) == 0 })
			}
			set("30m")
			another := func() bool {
				now := pairs(p.a.status(), false)
				_, there := now[name]
				return len(now) > 0 && !there
			}
			if way == "rekeying" {
				in, _, _ := strings.Cut(name, "/")
				p.a.mustCtl("sa", "rekey", in)
				p.steady(t, 60*time.Second, "another pair", another)
			} else {
				ping(t, p.topology.left, p.src, p.dst, 60*time.Second)
				waitFor(t, 20*time.Second, "another pair", another)
			}
			p.agree(t)
			if log := p.b.log(); !strings.Contains(log, "KRB_AP_ERR_TKT_EXPIRED") || !strings.Contains(log, "the ticket of "+p.left.Mine+" ended at") {
				t.Error("right does not say that the ticket has expired")
			}
			if log := p.a.log(); !strings.Contains(log, "KRB_AP_ERR_TKT_EXPIRED") {
				t.Error("left does not say that it has heard so")
			}
			if now := p.ticketEnds(); now.Sub(ends) < time.Hour {
				t.Errorf("left's ticket ends at %v, the old one at %v", now, ends)
			}
			w.wantNoClear()
		})
	}
}

// ticketEnds is the end of left's ticket for right.
func (p *kinkPair) ticketEnds() (end time.Time) {
	for _, k := range p.a.status().KINK.Principals[0].Tickets {
		if k.Peer == p.left.Peers && k.Expires.After(end) {
			end = k.Expires
		}
	}
	return end
}
