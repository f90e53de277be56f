package kink

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kink/message"
)

// dropFirst loses the first n datagrams of a type.
func (w *world) dropFirst(kind message.Type, n int) {
	w.filter = func(p Send) []Send {
		if message.Type(p.Data[0]) == kind && n > 0 {
			n--
			return nil
		}
		return []Send{p}
	}
}

func (w *world) expireSoft(n *node) {
	w.t.Helper()
	sa := n.ups[len(n.ups)-1].Info
	n.handle(KernelEvent{Event: kernel.Expire{ID: kernel.SAID{Dst: sa.Local, Proto: kernel.ESP, SPI: sa.SPIIn}}})
	w.settle()
}

func TestLossOfEachMessage(t *testing.T) {
	for _, kind := range []message.Type{message.CREATE, message.REPLY, message.ACK} {
		for _, n := range []int{1, 3} {
			w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = true })
			w.dropFirst(kind, n)
			w.create(a)
			w.pass(31 * time.Second)
			w.wantPairs(1)
			if len(a.ups) != 1 || len(b.ups) != 1 || len(a.failures) != 0 {
				t.Errorf("%v lost %d times: ups %d and %d, failures %v", kind, n, len(a.ups), len(b.ups), a.failures)
			}
		}
	}
}

func TestRetransmissionsHaveFreshAuthenticators(t *testing.T) {
	w, a, _ := pairOfHosts(t)
	w.dropFirst(message.CREATE, 100)
	w.create(a)
	start := w.now
	var at []time.Duration
	seen := make(map[string]bool)
	for range 100 {
		for _, p := range w.sent {
			at = append(at, w.now.Sub(start))
			m, err := message.Decode(p.Data)
			if err != nil {
				t.Fatal(err)
			}
			seen[string(m.Payloads[0].(message.APReq).Octets)] = true
		}
		w.sent = nil
		if d, ok := a.e.Deadline(); !ok {
			break
		} else {
			w.pass(d.Sub(w.now))
		}
	}
	if got, want := fmt.Sprint(at), "[0s 1s 3s 7s 15s]"; got != want || len(seen) != 5 {
		t.Errorf("sent at %s with %d authenticators, want %s", got, len(seen), want)
	}
	if len(a.failures) != 1 || w.now.Sub(start) != 31*time.Second || !strings.Contains(a.failures[0].Reason, "does not answer") {
		t.Errorf("after %v: %v", w.now.Sub(start), a.failures)
	}
	a.wantReason(reasonRetransmitLimit)
	w.wantPairs(0)
}

func TestReplyToAnEarlierAuthenticator(t *testing.T) {
	w, a, _ := pairOfHosts(t)
	var late []Send
	w.filter = func(p Send) []Send {
		if message.Type(p.Data[0]) == message.REPLY && len(late) == 0 {
			late = append(late, p)
			return nil
		}
		if message.Type(p.Data[0]) == message.CREATE && len(late) > 0 {
			return nil
		}
		return []Send{p}
	}
	w.create(a)
	w.pass(4 * time.Second) // two retransmissions, both lost
	w.filter = nil
	w.wire = append(w.wire, late...)
	w.settle()
	w.wantPairs(1)
}

func TestDuplicates(t *testing.T) {
	w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = true })
	w.filter = func(p Send) []Send { return []Send{p, p} }
	w.create(a)
	w.wantPairs(1)
	b.wantReason(reasonReplay)
	w.pass(2 * time.Minute)
	w.wantPairs(1)
	if len(b.ups) != 1 || len(a.ups) != 1 {
		t.Errorf("ups: %d, %d", len(a.ups), len(b.ups))
	}
}

func TestNobodyAcknowledges(t *testing.T) {
	w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = true })
	w.dropFirst(message.ACK, 1000)
	w.create(a)
	w.pass(time.Minute)
	b.wantReason(reasonNoAck)
	w.wantPairs(0) // KINK has no half-open SAs, so b deletes the pair at a as well
}

func TestRestartOfThePeer(t *testing.T) {
	w, a, b := pairOfHosts(t)
	w.create(a)
	w.pass(time.Hour / 2)
	b.boot()
	b.ups = nil
	w.create(b) // b has no SA, and makes one; its epoch tells a
	a.wantReason(reasonPeerRestart)
	w.pass(time.Minute)
	// a makes anew what it had made, beside what b has made.
	w.wantPairs(2)
	if len(a.downs) == 0 {
		t.Error("a keeps the pairs that b has lost")
	}
}

func TestXIDsComeAgainAfterARestart(t *testing.T) {
	w, a, b := pairOfHosts(t)
	a.e.xid = 0
	w.create(a)
	w.pass(5 * time.Second)
	a.boot()
	a.e.xid = 0
	w.create(a)
	b.wantReason(reasonPeerRestart)
	w.wantPairs(1)
}

func TestLiveness(t *testing.T) {
	w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.DPDDelay = 20 * time.Second })
	b.settings.Remotes[0].DPDDelay = 0
	w.create(a)
	w.sent = nil
	w.pass(21 * time.Second)
	w.wantLadder("a > b STATUS AP_REQ", "b > a REPLY AP_REP")
	w.filter = func(Send) []Send { return nil }
	w.pass(time.Minute)
	a.wantReason(reasonPeerDead)
	if len(a.downs) != 1 || len(a.keys) != 0 {
		t.Errorf("downs %v, SAs %d", a.downs, len(a.keys))
	}
}

func TestLivenessFindsARestart(t *testing.T) {
	w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.DPDDelay = 20 * time.Second })
	w.create(a)
	w.pass(5 * time.Second)
	b.boot()
	w.pass(30 * time.Second)
	a.wantReason(reasonPeerRestart)
	w.pass(time.Minute)
	w.wantPairs(1) // a had made the pair, and makes it anew
}

func TestSkew(t *testing.T) {
	for _, off := range []time.Duration{20 * time.Minute, -20 * time.Minute} {
		w := newWorld(t)
		a := w.add("a", "192.0.2.1", settingsFor("a", "192.0.2.1", "b", "192.0.2.2"))
		b := w.add("b", "192.0.2.2", settingsFor("b", "192.0.2.2", "a", "192.0.2.1"))
		b.offset = off
		b.boot()
		w.create(a)
		w.wantLadder("a > b CREATE AP_REQ ENCRYPT", "b > a REPLY AP_REP ENCRYPT", "a > b CREATE AP_REQ ENCRYPT", "b > a REPLY AP_REP ENCRYPT")
		w.wantPairs(1)
		if got := a.e.Status()[0].Offset; got != off {
			t.Errorf("offset %v, want %v", got, off)
		}
		if len(a.ups) == 0 {
			t.Fatalf("a:\n%sb:\n%s", a.said(), b.said())
		}
		w.expireSoft(a) // the offset is remembered
		if n := strings.Count(w.ladder(), "CREATE"); n != 1 {
			t.Errorf("rekeying takes %d CREATEs:\n%s", n, w.ladder())
		}
	}
}

func TestExpiredTicketIsReplacedOnce(t *testing.T) {
	w, a, b := pairOfHosts(t)
	w.realm.life = 30 * time.Minute
	w.create(a)
	// The clock of b runs ahead by less than the skew, but the ticket is over for it.
	w.pass(29*time.Minute + 20*time.Second)
	b.offset = 2 * time.Minute
	w.sent = nil
	w.expireSoft(a)
	w.settle()
	if got := w.ladder(); strings.Count(got, "CREATE") != 2 {
		t.Errorf("ladder:\n%s", got)
	}
	w.pass(11 * time.Second)
	w.wantPairs(1)
}

func TestRotatedKeytab(t *testing.T) {
	w, a, b := pairOfHosts(t)
	w.create(a)
	w.realm.kvno[principal("b")] = 2
	b.krb.kvno = 2
	w.sent = nil
	w.expireSoft(a)
	w.pass(10 * time.Second) // the error is not authenticated, so a goes on asking
	if got := w.ladder(); strings.Count(got, "CREATE") != 4 || strings.Count(got, "REPLY KRB_ERROR") != 4 {
		t.Errorf("ladder:\n%s", got)
	}
	w.pass(40 * time.Second)
	w.wantPairs(1)
	a.wantReason(reasonUnprotected)
	if a.e.Counters()[reasonChildRekeyed] != 1 {
		t.Errorf("not rekeyed:\n%s", a.said())
	}
}

func TestKDCDownDuringRekey(t *testing.T) {
	w, a, _ := pairOfHosts(t)
	w.create(a)
	w.realm.down = true
	delete(a.krb.cache, principal("b"))
	w.expireSoft(a)
	w.pass(35 * time.Second)
	a.wantReason(reasonTicket)
	w.wantPairs(1)
	w.realm.down = false
	w.pass(30 * time.Second)
	w.wantPairs(1)
	if len(a.ups) != 2 || len(a.downs) != 0 || len(a.failures) != 0 {
		t.Errorf("ups %d, downs %v, failures %v", len(a.ups), a.downs, a.failures)
	}
}

func TestUserToUser(t *testing.T) {
	ladder := []string{"a > b GETTGT TGT_REQ", "b > a REPLY TGT_REP", "a > b CREATE AP_REQ ENCRYPT", "b > a REPLY AP_REP ENCRYPT"}
	t.Run("by policy", func(t *testing.T) {
		w, a, _ := pairOfHosts(t, func(r *Remote, _ *Child) { r.UserToUser = true })
		w.create(a)
		w.wantLadder(ladder...)
		w.wantPairs(1)
		a.handle(Terminate{})
		w.settle()
		w.wantLadder("a > b DELETE AP_REQ ENCRYPT", "b > a REPLY AP_REP ENCRYPT") // the ticket is at hand
	})
	t.Run("the KDC wants it", func(t *testing.T) {
		w, a, b := pairOfHosts(t)
		w.realm.onlyU2U[principal(b.name)] = true
		w.create(a)
		w.wantLadder(ladder...)
		w.wantPairs(1)
	})
	t.Run("the peer wants it", func(t *testing.T) {
		w, a, b := pairOfHosts(t)
		b.settings.Remotes[0].RequireUserToUser = true
		w.create(a)
		w.wantLadder(append([]string{"a > b CREATE AP_REQ ENCRYPT", "b > a REPLY AP_REP ENCRYPT"}, ladder...)...)
		w.wantPairs(1)
	})
	t.Run("the peer has lost its TGT", func(t *testing.T) {
		w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.UserToUser = true })
		w.create(a)
		w.sent = nil
		b.krb.tgt++
		w.realm.tgts[principal("b")]++
		w.expireSoft(a)
		w.pass(11 * time.Second)
		w.wantPairs(1)
		if got := w.ladder(); strings.Contains(got, "GETTGT") || strings.Count(got, "REPLY TGT_REP") != 1 {
			t.Errorf("ladder:\n%s", got)
		}
	})
	t.Run("denied", func(t *testing.T) {
		w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.UserToUser = true })
		b.settings.Remotes[0].DenyTGT = true
		w.create(a)
		w.pass(time.Minute)
		b.wantReason(reasonUserToUser)
		if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "KINK_U2UDENIED") {
			t.Errorf("failures %v", a.failures)
		}
	})
}

func TestPFS(t *testing.T) {
	w, a, b := pairOfHosts(t, func(_ *Remote, c *Child) { c.KE = []transform.KE{transform.KE_CURVE25519} })
	w.create(a)
	w.wantLadder("a > b CREATE AP_REQ ENCRYPT", "b > a REPLY ACKREQ AP_REP ENCRYPT", "a > b ACK AP_REQ")
	w.wantPairs(1)
	if a.ups[0].Info.KE != b.ups[0].Info.KE || a.ups[0].Info.KE == "" {
		t.Errorf("KE %q and %q", a.ups[0].Info.KE, b.ups[0].Info.KE)
	}
}

func TestPeerWithoutPFS(t *testing.T) {
	for _, optional := range []bool{true, false} {
		w, a, b := pairOfHosts(t)
		c := a.settings.Remotes[0].Children[0]
		c.KE, c.KEOptional = []transform.KE{transform.KE_CURVE25519}, optional
		w.create(a)
		b.wantReason(reasonInvalidPayload)
		if optional {
			w.wantPairs(1)
			continue
		}
		w.wantPairs(0)
		if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "INVALID-PAYLOAD-TYPE") {
			t.Errorf("failures %v", a.failures)
		}
	}
}

// tunnel makes a child a tunnel between two networks.
func tunnel(r *Remote, c *Child) {
	c.Mode = kernel.Tunnel
	c.Outbound = nil
	nets := []string{"10.1.0.0/16", "10.2.0.0/16"}
	if r.Name == "a" {
		nets[0], nets[1] = nets[1], nets[0]
	}
	c.Outbound = []kernel.Selector{{Src: netip.MustParsePrefix(nets[0]), Dst: netip.MustParsePrefix(nets[1]), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}}
}

func TestTunnelWithIDs(t *testing.T) {
	w, a, b := pairOfHosts(t, tunnel)
	w.create(a)
	w.wantPairs(1)
	if got := b.ups[0].Info.Selector.String(); got != "10.2.0.0/16[any] 10.1.0.0/16[any] any" {
		t.Errorf("selector %s", got)
	}
	// Traffic that no selector names is refused.
	w2, a, b := pairOfHosts(t, tunnel)
	a.settings.Remotes[0].Children[0].Outbound[0].Dst = netip.MustParsePrefix("10.0.0.0/8")
	w2.create(a)
	w2.wantPairs(0)
	b.wantReason(reasonTraffic)
}

func TestIPv6(t *testing.T) {
	w := newWorld(t)
	a := w.add("a", "2001:db8::1", settingsFor("a", "2001:db8::1", "b", "2001:db8::2"))
	w.add("b", "2001:db8::2", settingsFor("b", "2001:db8::2", "a", "2001:db8::1"))
	w.create(a)
	w.wantPairs(1)
}

func TestSeveralPairsInOneMessage(t *testing.T) {
	more := func(r *Remote, c *Child) {
		for i, port := range []uint16{53, 80} {
			other := *c
			other.Name, other.ReqID = fmt.Sprint("out", port), uint32(10+i)
			s := c.Outbound[0]
			s.Proto = 17
			if r.Name == "b" {
				s.DstPort = kernel.Port(port)
			} else {
				s.SrcPort = kernel.Port(port)
			}
			other.Outbound = []kernel.Selector{s}
			r.Children = append(r.Children, &other)
		}
	}
	w, a, b := pairOfHosts(t, more)
	b.settings.Remotes[0].Children[1].Proposals = []Proposal{cbc} // makes it a 3-way exchange
	a.hold = true
	for _, c := range a.settings.Remotes[0].Children {
		a.handle(Initiate{Remote: "b", Child: c.Name})
	}
	a.release()
	w.settle()
	w.wantLadder("a > b CREATE AP_REQ ENCRYPT", "b > a REPLY ACKREQ AP_REP ENCRYPT", "a > b ACK AP_REQ")
	w.wantPairs(3)

	// One of them refused leaves the others.
	w, a, b = pairOfHosts(t, more)
	b.settings.Remotes[0].Children[1].Proposals[0].Encr = []Encryption{{ID: transform.ENCR_AES_GCM_12, KeyBits: 192}}
	b.settings.Remotes[0].Children[1].Proposals = b.settings.Remotes[0].Children[1].Proposals[:1]
	b.settings.Remotes[0].Children[0].Proposals = []Proposal{gcm, cbc}
	b.settings.Remotes[0].Children[2].Proposals = []Proposal{gcm, cbc}
	a.hold = true
	for _, c := range a.settings.Remotes[0].Children {
		a.handle(Initiate{Remote: "b", Child: c.Name})
	}
	a.release()
	w.settle()
	if len(a.ups)+len(a.failures) != 3 || len(a.ups) == 0 {
		t.Errorf("ups %d, failures %v", len(a.ups), a.failures)
	}
}

func TestLifetimes(t *testing.T) {
	w, a, b := pairOfHosts(t)
	b.settings.Remotes[0].Children[0].Lifetime = kernel.Lifetime{Time: 10 * time.Minute} // lower than a's
	w.create(a)
	w.wantLadder("a > b CREATE AP_REQ ENCRYPT", "b > a REPLY AP_REP ENCRYPT") // optimistic all the same
	w.wantPairs(1)
	for _, n := range w.nodes {
		for id, sa := range n.keys {
			if sa.Direction == kernel.Out && sa.Hard.Time != 10*time.Minute {
				t.Errorf("%s: %v has hard limit %v", n.name, id, sa.Hard)
			}
			if n == b && sa.Soft != (kernel.Lifetime{}) {
				t.Errorf("b, which does not rekey, has soft limit %v", sa.Soft)
			}
			if n == a && sa.Direction == kernel.Out && (sa.Soft.Time > 10*time.Minute-31*time.Second || sa.Soft.Time < 5*time.Minute) {
				t.Errorf("soft limit %v", sa.Soft)
			}
		}
	}
}

func TestNoProposalChosen(t *testing.T) {
	w, a, b := pairOfHosts(t)
	b.settings.Remotes[0].Children[0].Proposals = []Proposal{{Protocol: kernel.ESP, Encr: []Encryption{{ID: transform.ENCR_AES_GCM_12, KeyBits: 192}}}}
	w.create(a)
	w.wantPairs(0)
	b.wantReason(reasonNoProposal)
	if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "NO-PROPOSAL-CHOSEN; offered was ENCR_AES_GCM_16-256") {
		t.Errorf("failures %v", a.failures)
	}
	if !strings.Contains(b.said(), "configured is ENCR_AES_GCM_12-192") {
		t.Errorf("b does not explain:\n%s", b.said())
	}
}

func TestShutdown(t *testing.T) {
	w, a, b := pairOfHosts(t)
	w.create(a)
	a.handle(Shutdown{})
	w.settle()
	if !a.e.Idle() {
		t.Errorf("a is not idle: %+v", a.e.Status())
	}
	w.pass(11 * time.Second)
	w.wantPairs(0)
	a.handle(Initiate{Remote: "b", Child: "out"})
	if len(a.failures) != 1 {
		t.Error("an engine that shuts down initiates")
	}
	w.create(b)
	if b.e.Counters()["child_sas"] != 0 || len(b.failures) != 1 {
		t.Errorf("a accepts while it shuts down: %v", b.failures)
	}
}

func TestReconfigure(t *testing.T) {
	w, a, _ := pairOfHosts(t)
	w.create(a)
	a.handle(Reconfigure{Settings: settingsFor("a", "192.0.2.1", "b", "192.0.2.2")})
	w.settle()
	w.wantPairs(1)
	a.handle(Reconfigure{Settings: &Settings{Port: 910}})
	w.settle()
	w.pass(11 * time.Second)
	w.wantPairs(0)
}

func TestKernelFaults(t *testing.T) {
	for _, op := range []kernel.Op{kernel.GetSPI{}, kernel.AddSA{}} {
		for _, at := range []int{0, 1} {
			w, a, b := pairOfHosts(t)
			w.nodes[at].kernel.Fail(op, kernel.ErrUnsupported)
			w.create(a)
			w.pass(time.Minute)
			w.wantPairs(0)
			w.nodes[at].wantReason(reasonKernel)
			if len(a.failures) != 1 || len(b.failures) != 0 {
				t.Errorf("%T at %d: failures %v %v", op, at, a.failures, b.failures)
			}
		}
	}
	w, a, _ := pairOfHosts(t)
	w.create(a)
	events, err := a.kernel.Foreign(w.now, kernel.FlushSA{})
	if err != nil {
		t.Fatal(err)
	}
	clear(a.keys)
	for _, ev := range events {
		a.handle(KernelEvent{Event: ev})
	}
	w.settle()
	w.pass(11 * time.Second)
	w.wantPairs(0)
}

// TestWeather runs pairs of engines over a network that loses, doubles, delays and
// reorders, with restarts and skew; at the end of the weather all that stands
// agrees at both ends.
func TestWeather(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 910))
		w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) {
			r.ThreeWay = seed%2 == 0
			r.UserToUser = seed%5 == 0
			r.DPDDelay = 30 * time.Second
		}, func(_ *Remote, c *Child) {
			if seed%7 == 0 {
				c.KE = []transform.KE{transform.KE_CURVE25519}
			}
		})
		if seed%3 == 0 {
			w.late = rng
		}
		b.offset = time.Duration(rng.IntN(40)-20) * time.Minute
		b.boot()
		w.filter = func(p Send) []Send {
			switch x := rng.IntN(10); {
			case x < 3:
				return nil
			case x < 5:
				return []Send{p, p}
			case x < 7 && len(w.wire) < 20:
				w.wire = append(w.wire, p)
				return nil
			}
			return []Send{p}
		}
		for range 10 {
			n := w.nodes[rng.IntN(2)]
			switch rng.IntN(4) {
			case 0, 1:
				w.create(n)
			case 2:
				if len(n.ups) > 0 {
					w.expireSoft(n)
				}
			default:
				if rng.IntN(3) == 0 {
					n.boot()
				} else {
					n.handle(Terminate{})
				}
			}
			w.pass(time.Duration(rng.IntN(60)) * time.Second)
		}
		w.filter = nil
		w.pass(10 * time.Minute) // liveness finds what the weather has left behind
		for _, n := range []*node{a, b} {
			n.handle(Terminate{})
			w.settle()
		}
		w.pass(2 * time.Minute)
		w.create(a)
		w.pass(2 * time.Minute)
		if t.Failed() || a.e.Counters()["child_sas"] == 0 || a.e.Counters()["child_sas"] != b.e.Counters()["child_sas"] {
			t.Fatalf("seed %d: %d and %d pairs\na:\n%s\nb:\n%s", seed, a.e.Counters()["child_sas"], b.e.Counters()["child_sas"], a.said(), b.said())
		}
		for id, sa := range a.keys {
			if other, ok := b.keys[id]; ok && !bytes.Equal(sa.EncrKey, other.EncrKey) {
				t.Fatalf("seed %d: %v has different keys", seed, id)
			}
		}
	}
}

func TestTerminateEndsWhatIsUnderWay(t *testing.T) {
	w, a, _ := pairOfHosts(t)
	a.hold = true
	w.create(a)
	a.handle(Terminate{Remote: "b", Reason: "asked to"})
	a.release()
	w.settle()
	w.pass(time.Minute)
	w.wantPairs(0)
	if len(a.failures) != 1 || a.failures[0].Reason != "asked to" {
		t.Errorf("failures %v", a.failures)
	}
}

func TestShutdownBeforeTheAck(t *testing.T) {
	for _, input := range []Input{Shutdown{}, Reconfigure{Settings: new(Settings)}} {
		w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = true })
		w.dropFirst(message.ACK, 1)
		w.create(a)
		b.handle(input)
		w.settle()
		w.pass(time.Minute)
		w.wantPairs(0)
		if len(b.e.pairs) != 0 {
			t.Errorf("%T: pairs are left", input)
		}
	}
}

func TestInitiateIsRefused(t *testing.T) {
	_, a, _ := pairOfHosts(t)
	for _, c := range []struct {
		in   Initiate
		want string
	}{
		{Initiate{Remote: "b", Child: "x"}, "no such child"},
		{Initiate{Remote: "b", Child: "out", Principal: principal("c")}, "is not among the principals"},
		{Initiate{Remote: "b", Child: "out", Peer: netip.MustParseAddrPort("192.0.2.9:910")}, "is no address of the peer"},
		{Initiate{Remote: "b", Child: "out", Packet: &kernel.Selector{Src: netip.MustParsePrefix("192.0.2.1/32"), Dst: netip.MustParsePrefix("192.0.2.8/32")}}, "no selector of it"},
	} {
		a.failures = nil
		a.handle(c.in)
		if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, c.want) {
			t.Errorf("%+v: %v, want %q", c.in, a.failures, c.want)
		}
	}
	a.failures = nil
	a.settings.Remotes[0].Passive = true
	a.handle(Initiate{Remote: "b", Child: "out"})
	if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "passive") {
		t.Errorf("passive: %v", a.failures)
	}
}

// TestManyHosts gives one host pairs with many peers at once, any address allowed.
func TestManyHosts(t *testing.T) {
	w := newWorld(t)
	anyPeer := func(r *Remote, c *Child) {
		r.AnyPeer, r.Peers, c.Dynamic = true, nil, true
		for i := range 40 {
			r.PeerPrincipals = append(r.PeerPrincipals, principal(fmt.Sprint("h", i)))
		}
	}
	hub := w.add("hub", "192.0.2.1", settingsFor("hub", "192.0.2.1", "any", "192.0.2.2", anyPeer))
	for i := range 40 {
		name, addr := fmt.Sprint("h", i), fmt.Sprint("198.51.100.", i+1)
		n := w.add(name, addr, settingsFor(name, addr, "hub", "192.0.2.1"))
		n.handle(Initiate{Remote: "hub", Child: "out"})
	}
	w.settle()
	if n := hub.e.Counters()["child_sas"]; n != 40 {
		t.Errorf("%d pairs", n)
	}
	hub.handle(Shutdown{})
	w.settle()
	w.pass(11 * time.Second)
	w.wantPairs(0)
}

func TestEventsOfTheKernel(t *testing.T) {
	w, a, b := pairOfHosts(t, func(_ *Remote, c *Child) { c.Lifetime.Bytes = 1 << 30 })
	w.create(a)
	info := a.ups[0].Info
	out := kernel.SAID{Dst: info.Remote, Proto: kernel.ESP, SPI: info.SPIOut}
	if soft := a.keys[out].Soft.Bytes; soft < 1<<29 || soft >= 1<<30 || b.keys[out].Hard.Bytes != 1<<30 {
		t.Errorf("soft limit of %d octets, hard limit %v", soft, b.keys[out].Hard)
	}
	a.handle(KernelEvent{Event: kernel.Expire{ID: out, Hard: true}})
	b.handle(KernelEvent{Event: kernel.Expire{ID: out, Hard: true}})
	w.settle() // each tells the other, whose limit may be another
	w.pass(11 * time.Second)
	w.wantPairs(0)
	w.create(a)
	w.wantPairs(1)
	info = a.ups[1].Info
	a.handle(KernelEvent{Event: kernel.Deleted{ID: kernel.SAID{Dst: info.Remote, Proto: kernel.ESP, SPI: info.SPIOut}}})
	a.handle(KernelEvent{Event: kernel.Deleted{ID: kernel.SAID{Dst: info.Remote, Proto: kernel.ESP, SPI: 4711}}})
	w.settle()
	w.pass(11 * time.Second)
	w.wantPairs(0)
}
