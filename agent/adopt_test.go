package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/fake"
)

// A selector with install off takes the policies of others with its reqid for
// its own: their traffic has SAs made, SLID names the selector, and they stay.
func TestAdoption(t *testing.T) {
	a, b := newPair(t)
	text, err := os.ReadFile(filepath.Join(a.dir, "racoon2.conf"))
	if err != nil {
		t.Fatal(err)
	}
	a.write("racoon2.conf", strings.NewReplacer("direction outbound;", "direction outbound; reqid 77;",
		"direction inbound;", "direction inbound; reqid 77;", "action auto_ipsec;", "action auto_ipsec; install off;").Replace(string(text)))
	b.start()
	a.start()
	if _, policies := a.left(); policies != 0 {
		t.Fatalf("%d policies are installed", policies)
	}
	foreign := func(dir kernel.Direction, src, dst *host, reqID uint32) (id kernel.PolicyID) {
		p := kernel.Policy{
			Selector: kernel.Selector{
				Src: netip.PrefixFrom(src.addr, 32), Dst: netip.PrefixFrom(dst.addr, 32), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
			},
			Direction: dir, Action: kernel.Protect, Priority: 1,
			Templates: []kernel.Template{{Proto: kernel.ESP, Mode: kernel.Transport, Level: kernel.Require, ReqID: reqID}},
		}
		a.kernel.With(func(k *fake.Kernel, now time.Time) []kernel.Event {
			r := k.Apply(now, kernel.Request{Op: kernel.AddPolicy{Policy: p}})
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			id = r.Policy
			return nil
		})
		return id
	}
	out, in := foreign(kernel.Out, a, b, 77), foreign(kernel.In, b, a, 77)
	a.send(b)
	b.send(a)
	client := a.client()
	for id, want := range map[kernel.PolicyID]string{out: "out", in: "in"} {
		if name, err := client.SLID(uint32(id)); err != nil || name != want {
			t.Errorf("SLID %d: %q, %v", id, name, err)
		}
	}
	if name, err := client.SLID(uint32(out) + 1000); err == nil {
		t.Errorf("SLID of nothing: %q", name)
	}
	a.stop()
	if sas, policies := a.left(); sas != 0 || policies != 2 {
		t.Errorf("%d SAs and %d policies are left", sas, policies)
	}
}
