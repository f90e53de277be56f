//go:build linux

package integration

import (
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// AH, and IPComp beside ESP and AH, in both families and modes: pings pass both ways,
// the wire shows the outermost protocol alone, and all of it is rekeyed together.
func TestBundles(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		for _, mode := range []string{"tunnel", "transport"} {
			for _, c := range []struct {
				name, index, comp string
				outermost         netlab.Kind
			}{
				{"AH", "ah;", "", netlab.AH},
				{"ESP and IPComp", "esp; small;", "IPCOMP_DEFLATE", netlab.ESP},
				{"AH and IPComp", "ah; small;", "IPCOMP_DEFLATE", netlab.AH},
			} {
				t.Run(family+" "+mode+" "+c.name, func(t *testing.T) {
					p := newPair(t, family, mode, false)
					for _, r := range []*racoon2{p.a, p.b} {
						r.conf.Policy = "ipsec_index bundle;"
						r.conf.Sections = "ipsec bundle { sa_index { " + c.index + " }; };\n" +
							"sa ah { sa_protocol ah; };\nsa esp { sa_protocol esp; };\nsa small { sa_protocol ipcomp; };\n"
						r.configure()
					}
					w := p.watch(t)
					p.start()
					ping(t, p.left, p.src, p.dst, 15*time.Second)
					w.wantESP(c.outermost, 2)
					ping(t, p.right, p.dst, p.back, 5*time.Second)
					p.wantAgreement(t)
					child := p.a.status().IKESAs[0].Children[0]
					if child.Comp != c.comp {
						t.Errorf("child %+v", child)
					}
					p.a.mustCtl("sa", "rekey", child.SPIIn)
					waitFor(t, 15*time.Second, "another child", func() bool {
						s := p.a.status()
						return len(s.IKESAs) == 1 && len(s.IKESAs[0].Children) == 1 && s.IKESAs[0].Children[0].SPIIn != child.SPIIn
					})
					ping(t, p.left, p.src, p.dst, 5*time.Second)
					p.wantAgreement(t)
				})
			}
		}
	}
}
