package ikev2

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// One side initiates, both agree, and a deletion by either side is seen by the other.
func TestTunnelUpAndDown(t *testing.T) {
	for _, byResponder := range []bool{false, true} {
		t.Run(fmt.Sprintf("deleted by responder %v", byResponder), func(t *testing.T) {
			w, a, b := pair(t)
			a.initiate()
			w.settle()
			w.wantUp(a, b, 1, 1)
			if len(w.sent) != 4 {
				t.Errorf("%d datagrams for a tunnel, want 4", len(w.sent))
			}
			if len(a.ups) != 1 || a.ups[0].Child != "kyoto_out" || a.ups[0].Remote != "tokyo" || len(b.ups) != 1 {
				t.Errorf("announced %+v and %+v", a.ups, b.ups)
			}
			who := a
			if byResponder {
				who = b
			}
			who.handle(Terminate{})
			w.settle()
			a.wantNothing()
			b.wantNothing()
			if len(a.downs) != 1 || len(b.downs) != 1 {
				t.Errorf("%d and %d children reported down, want 1 and 1", len(a.downs), len(b.downs))
			}
		})
	}
}

func pair6(t *testing.T) (*world, *node, *node) {
	w := newWorld(t)
	a := w.add("kyoto", "2001:db8::1", testSettings("kyoto", "tokyo", "2001:db8::2", "2001:db8:1::/64", "2001:db8:2::/64"))
	b := w.add("tokyo", "2001:db8::2", testSettings("tokyo", "kyoto", "2001:db8::1", "2001:db8:2::/64", "2001:db8:1::/64"))
	return w, a, b
}

// The four combinations of family and mode, with what the kernels get.
func TestFamiliesAndModes(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, mode := range []kernel.Mode{kernel.Tunnel, kernel.Transport} {
			t.Run(fmt.Sprintf("v6 %v %s", v6, modeName(mode)), func(t *testing.T) {
				w, a, b := pair(t)
				if v6 {
					w, a, b = pair6(t)
				}
				if mode == kernel.Transport {
					for _, n := range w.nodes {
						n.change(func(_ *Settings, r *Remote, c *Child) {
							c.Mode = mode
							bits := n.addr.BitLen()
							c.Outbound[0].Src = netip.PrefixFrom(n.addr, bits)
							c.Outbound[0].Dst = netip.PrefixFrom(r.Peers[0].Addr(), bits)
						})
					}
				}
				a.initiate()
				w.settle()
				w.wantUp(a, b, 1, 1)
				out, in := a.kernel.one(t, kernel.Out), b.kernel.one(t, kernel.In)
				if out.Mode != mode || out.Src != a.addr || out.Dst != b.addr || in.Src != a.addr || in.Dst != b.addr {
					t.Errorf("outer addresses: out %+v, in %+v", out.SAID, in.SAID)
				}
				want := a.e.settings.Remotes[0].Children[0].Outbound[0]
				if out.Selector != want || in.Selector != want {
					t.Errorf("selectors %+v and %+v, want %+v", out.Selector, in.Selector, want)
				}
				if in.Replay != 64 || out.Replay != 0 || in.ReqID != 7 {
					t.Errorf("replay %d and %d, reqid %d", in.Replay, out.Replay, in.ReqID)
				}
				if in.Encap != nil || out.Encap != nil {
					t.Error("encapsulated without a NAT")
				}
			})
		}
	}
}

// Every combination of algorithms that is built comes up, with ESN and PFS.
func TestSuites(t *testing.T) {
	cases := map[string]struct {
		ike   IKEProposal
		child ChildProposal
	}{
		"aes128gcm16-prfsha256-curve25519": {testIKEProposal(), testChildProposal()},
		"aes256-sha256-modp2048": {
			IKEProposal{[]Encryption{{transform.ENCR_AES_CBC, 256}}, []transform.PRF{transform.PRF_HMAC_SHA2_256},
				[]transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}, []transform.KE{transform.KE_MODP_2048}},
			ChildProposal{Protocol: kernel.ESP, Encr: []Encryption{{transform.ENCR_AES_CBC, 256}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128},
				SN: []transform.SN{transform.SN_EXTENDED, transform.SN_32BIT}},
		},
		"aes256gcm16-prfsha384-ecp384": {
			IKEProposal{[]Encryption{{transform.ENCR_AES_GCM_16, 256}}, []transform.PRF{transform.PRF_HMAC_SHA2_384}, nil, []transform.KE{transform.KE_ECP_384}},
			ChildProposal{Protocol: kernel.ESP, Encr: []Encryption{{transform.ENCR_AES_GCM_16, 256}}, SN: []transform.SN{transform.SN_EXTENDED}},
		},
		"chacha20poly1305-prfsha512-ecp256": {
			IKEProposal{[]Encryption{{transform.ENCR_CHACHA20_POLY1305, 0}}, []transform.PRF{transform.PRF_HMAC_SHA2_512}, nil, []transform.KE{transform.KE_ECP_256}},
			ChildProposal{Protocol: kernel.ESP, Encr: []Encryption{{transform.ENCR_CHACHA20_POLY1305, 0}}, SN: []transform.SN{transform.SN_32BIT}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			for _, n := range w.nodes {
				n.change(func(_ *Settings, r *Remote, child *Child) {
					r.Proposals, child.Proposals = []IKEProposal{c.ike}, []ChildProposal{c.child}
				})
			}
			a.initiate()
			w.settle()
			w.wantUp(a, b, 1, 1)
			i := b.e.Status()[0]
			if i.Encr != encryptionName(c.ike.Encr[0]) || i.KE != c.ike.KE[0].String() || i.PRF != c.ike.PRF[0].String() {
				t.Errorf("status says %s %s %s", i.Encr, i.PRF, i.KE)
			}
			if esn := b.kernel.one(t, kernel.In).ESN; esn != (c.child.SN[0] == transform.SN_EXTENDED) {
				t.Errorf("ESN is %v", esn)
			}
		})
	}
}

// Whichever datagram of the set-up is lost, the retransmission brings the tunnel up.
func TestEachDatagramLostOnce(t *testing.T) {
	for lost := range 4 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			w, a, b := pair(t)
			n := 0
			w.filter = func(p Send) []Send {
				n++
				if n-1 == lost {
					return nil
				}
				return []Send{p}
			}
			a.initiate()
			w.advance(5 * time.Second)
			w.wantUp(a, b, 1, 1)
			if got := a.kernel.next - 0x1000; got != 1 {
				t.Errorf("%d SPIs reserved, want 1", got)
			}
		})
	}
}

// Every datagram arrives three times, and later ones in front of earlier ones:
// nothing is done twice.
func TestEveryDatagramTripled(t *testing.T) {
	w, a, b := pair(t)
	var late []Send
	w.filter = func(p Send) []Send {
		if slices.ContainsFunc(late, func(old Send) bool { return string(old.Data) == string(p.Data) }) {
			return []Send{p} // an answer to a repetition
		}
		all := append(slices.Clone(late), p, p, p)
		late = append(late, p)
		return all
	}
	a.initiate()
	w.advance(30 * time.Second)
	w.wantUp(a, b, 1, 1)
	if len(a.ups) != 1 || len(b.ups) != 1 {
		t.Errorf("announced %d and %d times", len(a.ups), len(b.ups))
	}
	a.handle(Terminate{})
	w.advance(time.Minute)
	a.wantNothing()
	b.wantNothing()
}

// The cached answer to a retransmission is the same octets, and the back-off
// doubles: 1, 2, 4, 8, 16, 32 seconds with five retransmissions.
func TestRetransmissionSchedule(t *testing.T) {
	w, a, _ := pair(t)
	var at []time.Duration
	start := w.now
	w.filter = func(Send) []Send { at = append(at, w.now.Sub(start)); return nil }
	a.initiate()
	w.advance(2 * time.Minute)
	want := []time.Duration{0, 1, 3, 7, 15, 23}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(at, want) {
		t.Errorf("sent at %v, want %v", at, want)
	}
	for _, p := range w.sent[1:] {
		if string(p.Data) != string(w.sent[0].Data) {
			t.Error("a retransmission differs")
		}
	}
	a.wantReason(reasonRetransmitLimit)
	if len(a.failures) != 1 || a.failures[0].Child != "kyoto_out" {
		t.Errorf("failures %+v", a.failures)
	}
	a.wantNothing()
}

// times_per_send puts each datagram on the wire so often.
func TestCopies(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Retry.Copies = 3 })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	n := 0
	for _, p := range w.sent {
		if p.Local.Addr() == a.addr {
			n++
		}
	}
	if n != 6 {
		t.Errorf("the initiator sent %d datagrams, want 3 of each of its 2 requests", n)
	}
}

// A second address is tried when the first does not answer.
func TestNextPeerAddress(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) {
		r.Peers = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.99:500"), r.Peers[0]}
	})
	a.initiate()
	w.advance(2 * time.Minute)
	w.wantUp(a, b, 1, 1)
	if len(a.failures) != 0 {
		t.Errorf("failures %+v", a.failures)
	}
}
