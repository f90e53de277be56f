package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// AH, and IPComp beside ESP or AH, from the configuration to packets that arrive: the
// SPD's entries and the engine's SAs fit together, and all of it goes in the end.
func TestTwoAgentsWithBundles(t *testing.T) {
	for _, c := range []struct{ mode, index, protocol, comp string }{
		{"transport", "sa_index { ah; }", "ah", ""},
		{"tunnel", "sa_index { ah; }", "ah", ""},
		{"transport", "sa_index { small; esp; }", "esp", "IPCOMP_DEFLATE"},
		{"tunnel", "sa_index { esp; small; }", "esp", "IPCOMP_DEFLATE"},
		{"tunnel", "sa_index { ah; small; }", "ah", "IPCOMP_DEFLATE"},
	} {
		t.Run(c.mode+" "+c.index, func(t *testing.T) {
			a, b := newPair(t)
			for _, h := range []*host{a, b} {
				path := filepath.Join(h.dir, "racoon2.conf")
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				changed := strings.Replace(string(text), "remote_index peer;", "remote_index peer; ipsec_index bundle;", 1)
				changed = strings.Replace(changed, "ipsec_mode transport;", "ipsec_mode "+c.mode+";", 1)
				h.write("racoon2.conf", changed+fmt.Sprintf(`
ipsec bundle { %s; };
sa ah { sa_protocol ah; };
sa esp { sa_protocol esp; };
sa small { sa_protocol ipcomp; };
`, c.index))
			}
			a.start()
			b.start()
			a.send(b)
			b.send(a)
			child := a.status().IKESAs[0].Children[0]
			if child.Protocol != c.protocol || child.Mode != c.mode || child.Comp != c.comp || (child.CPIIn == "") != (c.comp == "") {
				t.Errorf("child %+v", child)
			}
			want := 2
			if c.comp != "" {
				want = 4
			}
			if sas, _ := a.left(); sas != want {
				t.Errorf("%d SAs in the kernel, want %d", sas, want)
			}
			a.stop()
			waitUntil(t, "the peer to hear of the end", func() bool { return len(b.status().IKESAs) == 0 })
			b.stop()
			for _, h := range []*host{a, b} {
				if sas, policies := h.left(); sas != 0 || policies != 0 {
					t.Errorf("%v leaves %d SAs and %d policies", h.addr, sas, policies)
				}
			}
		})
	}
}
