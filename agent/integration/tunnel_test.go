//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/agent"
	"racoon2/kernel/kerneltest/netlab"
)

const secret = "correct horse battery staple"

// pair is two agents on a topology, and what left pings.
type pair struct {
	*topology
	a, b     *racoon2 // on left and on right
	src, dst netip.Addr
	back     netip.Addr // left's address as right's traffic names it
}

// newPair configures both ends. In transport mode the hosts' own addresses are
// protected, in tunnel mode the networks behind them.
func newPair(t *testing.T, family, mode string, nat bool) *pair {
	t.Helper()
	p := &pair{topology: newTopology(t, family, nat)}
	seen := p.left.outer // left's outer address as right sees it
	if nat {
		seen = p.natOutside
	}
	left := peerConfig{MyID: "left.example", PeerID: "right.example", MyAddr: p.left.outer.String(), PeerAddr: p.right.outer.String(), Mode: mode, Secret: secret}
	right := peerConfig{MyID: "right.example", PeerID: "left.example", MyAddr: p.right.outer.String(), PeerAddr: seen.String(), Mode: mode, Secret: secret}
	if mode == "tunnel" {
		left.MyNet, left.PeerNet = p.left.net, p.right.net
		right.MyNet, right.PeerNet = p.right.net, p.left.net
		p.src, p.dst, p.back = p.left.inner, p.right.inner, p.left.inner
	} else {
		left.MyNet, left.PeerNet = p.left.outer.String(), p.right.outer.String()
		right.MyNet, right.PeerNet = p.right.outer.String(), seen.String()
		p.src, p.dst, p.back = p.left.outer, p.right.outer, seen
	}
	p.a, p.b = newRacoon2(t, p.left.ns, left), newRacoon2(t, p.right.ns, right)
	return p
}

func (p *pair) start() {
	p.b.start()
	p.a.start()
}

// each runs a test over families, modes and with and without a NAT.
func each(t *testing.T, f func(t *testing.T, family, mode string, nat bool)) {
	for _, family := range []string{"v4", "v6"} {
		for _, mode := range []string{"tunnel", "transport"} {
			for _, nat := range []bool{false, true} {
				name := fmt.Sprintf("%s %s", family, mode)
				if nat {
					name += " NAT"
				}
				t.Run(name, func(t *testing.T) { f(t, family, mode, nat) })
			}
		}
	}
}

// A ping starts the negotiation; the wire shows ESP only; a flush is followed
// by a new tunnel; the other side can ping as well; both ends agree.
func TestTunnel(t *testing.T) {
	each(t, func(t *testing.T, family, mode string, nat bool) {
		p := newPair(t, family, mode, nat)
		w := p.watch(t)
		p.start()
		kind := netlab.ESP
		if nat {
			kind = netlab.ESPInUDP
		}
		ping(t, p.left, p.src, p.dst, 15*time.Second)
		w.wantESP(kind, 2)
		ping(t, p.right, p.dst, p.back, 5*time.Second)
		p.wantAgreement(t)

		p.a.mustCtl("sa", "flush")
		ping(t, p.left, p.src, p.dst, 15*time.Second)
		w.wantESP(kind, 6)
		p.wantAgreement(t)
		p.wantCounters(t)
	})
}

// children maps each IKE SA to its children as "in/out", seen from one end.
func children(s agent.Status, mirrored bool) map[string]bool {
	set := map[string]bool{}
	for _, ike := range s.IKESAs {
		for _, c := range ike.Children {
			in, out := c.SPIIn, c.SPIOut
			if mirrored {
				in, out = out, in
			}
			set[fmt.Sprintf("%s/%s: %s/%s", ike.SPIi, ike.SPIr, in, out)] = true
		}
	}
	return set
}

// wantAgreement waits until both ends list the same IKE SAs with mirrored children.
func (p *pair) wantAgreement(t *testing.T) {
	t.Helper()
	var left, right map[string]bool
	waitFor(t, 10*time.Second, "both ends to agree on their SAs", func() bool {
		left, right = children(p.a.status(), false), children(p.b.status(), true)
		if len(left) == 0 || len(left) != len(right) {
			return false
		}
		for c := range left {
			if !right[c] {
				return false
			}
		}
		return true
	})
}

// wantCounters wants packets counted in both directions at both ends.
func (p *pair) wantCounters(t *testing.T) {
	t.Helper()
	for _, r := range []*racoon2{p.a, p.b} {
		var in, out uint64
		for _, ike := range r.status().IKESAs {
			for _, c := range ike.Children {
				if c.In != nil && c.Out != nil {
					in += c.In.Packets
					out += c.Out.Packets
				}
			}
		}
		if in == 0 || out == 0 {
			t.Errorf("%s counts %d packets in and %d out", r.config, in, out)
		}
	}
}

// kill -9 blocks what the policies protect, a restart recovers, an orderly exit
// opens, and afterwards the hosts are as they were found.
func TestKillBlocksAndExitOpens(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		for _, mode := range []string{"tunnel", "transport"} {
			t.Run(family+" "+mode, func(t *testing.T) {
				p := newPair(t, family, mode, false)
				ping(t, p.left, p.src, p.dst, 5*time.Second) // in clear before the agents start
				w := p.watch(t)
				w.reset()
				p.start()
				w.reset()
				ping(t, p.left, p.src, p.dst, 15*time.Second)

				p.a.kill(syscall.SIGKILL)
				noPing(t, p.left, p.src, p.dst, 5)
				w.wantNoClear()

				p.a.start()
				ping(t, p.left, p.src, p.dst, 15*time.Second)
				w.wantNoClear()

				p.a.kill(syscall.SIGTERM)
				p.b.kill(syscall.SIGTERM)
				ping(t, p.left, p.src, p.dst, 5*time.Second)
			})
		}
	}
}

// Packets that somebody on the wire sends in clear are dropped by a host whose
// policy protects them.
func TestClearPacketsFromTheWire(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "transport", false)
			p.start()
			ping(t, p.left, p.src, p.dst, 15*time.Second)
			// With left's agent gone in order, left sends in clear; right must not answer.
			p.a.kill(syscall.SIGTERM)
			noPing(t, p.left, p.src, p.dst, 5)
		})
	}
}

// An orderly exit of one side tells the other, which then holds no SA.
func TestExitTellsThePeer(t *testing.T) {
	p := newPair(t, "v4", "tunnel", false)
	p.start()
	ping(t, p.left, p.src, p.dst, 15*time.Second)
	p.wantAgreement(t)
	p.a.kill(syscall.SIGTERM)
	waitFor(t, 10*time.Second, "right to drop its SAs", func() bool {
		return len(p.b.status().IKESAs) == 0
	})
	if !strings.Contains(p.b.log(), "the peer has deleted it") {
		t.Errorf("right's log does not say why:\n%s", p.b.log())
	}
}
