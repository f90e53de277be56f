//go:build linux

package integration

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"racoon2/agent"
	"racoon2/agent/logging"
)

// envClock makes this test binary an agent whose clock is off by a duration: all
// namespaces share the host's clock, so that it is injected.
const envClock = "RACOON2_TEST_CLOCK"

// runShifted is "racoon2 run" with another clock.
func runShifted(off string, args []string) int {
	shift, err := time.ParseDuration(off)
	if err != nil {
		return 2
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
	o.Now = func() time.Time { return time.Now().Add(shift) }
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
	self, err := os.Executable()
	must(t, err)
	for _, off := range []string{"-20m", "20m"} {
		t.Run(off, func(t *testing.T) {
			p := newKINK(t, "v4", "transport")
			p.b.binary, p.b.env = self, []string{envClock + "=" + off}
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
