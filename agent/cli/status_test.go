package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"racoon2/agent"
)

// crowded is the status of an agent with so many IKE SAs, with a child each.
func crowded(sas int, now time.Time) *agent.Status {
	began, ends := now.Add(-time.Hour), now.Add(time.Hour)
	s := &agent.Status{Version: "1", Config: "/etc/racoon2/racoon2.conf", Counters: map[string]uint64{"ikev2.ike_established": uint64(sas)}}
	for i := range sas {
		peer := fmt.Sprintf("2001:db8:%x::%x", i>>8, i&0xff)
		s.IKESAs = append(s.IKESAs, agent.IKEStatus{
			Remote: fmt.Sprintf("branch_%d", i), State: "ESTABLISHED", Initiator: i%2 == 0, SPIi: fmt.Sprintf("%016x", i), SPIr: fmt.Sprintf("%016x", i+1),
			Local: "[2001:db8::1]:4500", Peer: "[" + peer + "]:4500", LocalID: "fqdn gw.example.org", RemoteID: fmt.Sprintf("fqdn branch-%d.example.org", i),
			Encr: "ENCR_AES_GCM_16-256", PRF: "PRF_HMAC_SHA2_256", KE: "CURVE25519", NATRemote: true, Established: &began, Expires: &ends,
			Children: []agent.ChildStatus{{
				Name: fmt.Sprintf("branch_%d_out", i), Protocol: "ESP", Mode: "tunnel", SPIIn: fmt.Sprintf("%08x", i), SPIOut: fmt.Sprintf("%08x", i+1),
				Local: "2001:db8::1", Remote: peer, TSLocal: []string{"10.0.0.0/8[any]"}, TSRemote: []string{fmt.Sprintf("10.%d.%d.0/24[any]", i>>8, i&0xff)},
				Encr: "ENCR_AES_GCM_16-256", Encap: true, Established: &began, Expires: &ends,
				In: &agent.Traffic{Packets: 1, Bytes: 100}, Out: &agent.Traffic{Packets: 2, Bytes: 200},
			}},
		})
		for _, direction := range []string{"out", "in", "fwd"} {
			s.Policies = append(s.Policies, agent.PolicyStatus{
				Selector: fmt.Sprintf("branch_%d_%s", i, direction), ID: uint32(i), Direction: direction,
				Traffic: fmt.Sprintf("10.0.0.0/8[any] 10.%d.%d.0/24[any] any", i>>8, i&0xff), Action: "protect", State: "installed",
			})
		}
	}
	return s
}

// The state of 10,000 IKE SAs is whole, for people within a terminal's width, and
// as JSON.
func TestStatusOfManySAs(t *testing.T) {
	const sas = 10_000
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s := crowded(sas, now)
	text := statusText(s, now)
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
			t.Fatalf("a line of %d characters: %q", n, line)
		}
	}
	for what, want := range map[string]int{"ESTABLISHED": sas, "    child branch_": sas, "since 1h0m0s, ends in 1h0m0s": 2 * sas, "out protect branch_": sas, "IKE SAs: 10000\n": 1} {
		if n := strings.Count(text, what); n != want {
			t.Errorf("%q is there %d times, want %d", what, n, want)
		}
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back agent.Status
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.IKESAs, s.IKESAs) || !reflect.DeepEqual(back.Policies, s.Policies) {
		t.Error("the JSON does not hold everything")
	}
}

// BenchmarkStatusOfManySAs is what status does for 10,000 IKE SAs beside waiting
// for the agent: to be well under a second.
func BenchmarkStatusOfManySAs(b *testing.B) {
	now := time.Now()
	s := crowded(10_000, now)
	for b.Loop() {
		raw, err := json.Marshal(s)
		if err != nil {
			b.Fatal(err)
		}
		var back agent.Status
		if err := json.Unmarshal(raw, &back); err != nil {
			b.Fatal(err)
		}
		statusText(&back, now)
	}
}
