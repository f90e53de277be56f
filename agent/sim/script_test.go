package sim

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestScript reads one of everything.
func TestScript(t *testing.T) {
	s, sections, err := ParseScript("all", `
seed 7            # a comment
host tokyo 192.0.2.1 10.0.1.0/24
host osaka 2001:db8::2
nat 192.168.0.0/16 203.0.113.1
faults loss 0.1 duplicate 0.2 reorder 0.3 corrupt 0.4 delay 1ms jitter 2ms late 3s
rule hold tokyo osaka IKE_AUTH request 1 count 2 for 4s
flow 10.0.1.1 10.0.2.1 proto 17 src 1000 dst 53 start 1s every 2s stop 3s must blocked
duration 5s
settle 6s
at 1s ping 10.0.1.1 10.0.2.1
at 2s inject 10.0.2.1 10.0.1.1
at 3s up tokyo out
at 3s flush tokyo osaka
at 3s crash tokyo
at 3s reboot tokyo
at 3s restart tokyo
at 3s stop tokyo
at 3s reboot-nats
at 3s reconfigure tokyo other
-- tokyo.conf --
remote {};
-- tokyo:/psk --
secret
-- other --
selector {};
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Faults{Loss: 0.1, Duplicate: 0.2, Reorder: 0.3, Corrupt: 0.4, Delay: time.Millisecond, Jitter: 2 * time.Millisecond, Late: 3 * time.Second}
	if s.Seed != 7 || s.Faults != want || s.Duration != 5*time.Second || s.Settle != 6*time.Second || len(s.NATs) != 1 {
		t.Errorf("%+v", s)
	}
	if h := s.Hosts[0]; len(s.Hosts) != 2 || h.Config != "remote {};\n" || h.Files["/psk"] != "secret" || len(h.Nets) != 1 {
		t.Errorf("hosts %+v", s.Hosts)
	}
	if r := *s.Rules[0]; r != (Rule{From: "tokyo", To: "osaka", Exchange: "IKE_AUTH", MessageID: 1, Count: 2, Delay: 4 * time.Second}) {
		t.Errorf("rule %+v", r)
	}
	flow := Flow{
		From: netip.MustParseAddr("10.0.1.1"), To: netip.MustParseAddr("10.0.2.1"), Proto: 17, Src: 1000, Dst: 53,
		Start: time.Second, Interval: 2 * time.Second, Stop: 3 * time.Second, Must: Blocked,
	}
	if s.Flows[0] != flow {
		t.Errorf("flow %+v", s.Flows[0])
	}
	if len(s.Steps) != 10 || sections["other"] != "selector {};\n" {
		t.Errorf("%d steps, sections %v", len(s.Steps), sections)
	}
}

// TestScriptErrors names the line that is wrong.
func TestScriptErrors(t *testing.T) {
	for _, l := range []string{
		"nonsense", "seed", "seed x", "host tokyo", "host tokyo x", "host tokyo 1.2.3.4/x", "nat x 1.2.3.4", "nat 10.0.0.0/8 x", "nat 10.0.0.0/8",
		"faults loss", "faults luck 1", "faults loss much", "faults delay x", "rule drop a b", "rule drop a b IKE_AUTH request x",
		"rule drop a b IKE_AUTH request 1 count x", "flow 10.0.0.1", "flow 10.0.0.1 x", "flow 10.0.0.1 10.0.0.2 must win", "flow 10.0.0.1 10.0.0.2 proto 300",
		"duration x", "settle", "at", "at x ping 1.2.3.4 1.2.3.5", "at 1s ping 1.2.3.4", "at 1s ping x y", "at 1s up nobody out", "at 1s flush", "at 1s dance h",
	} {
		if _, _, err := ParseScript("bad", "host h 1.2.3.4\n"+l+"\n"); err == nil || !strings.HasPrefix(err.Error(), "bad:2: ") {
			t.Errorf("%q: %v", l, err)
		}
	}
}
