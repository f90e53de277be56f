package ikev2

import (
	"bytes"

	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// What the words of racoon2.conf do: each with the peer, or the message, that shows it.

// proposal_check: how far a responder goes beyond what is configured.
func TestProposalCheck(t *testing.T) {
	longer := func(_ *Settings, r *Remote, c *Child) {
		r.Proposals[0].Encr = []Encryption{{transform.ENCR_AES_GCM_16, 256}}
		c.Proposals[0].Encr = []Encryption{{transform.ENCR_AES_GCM_16, 256}}
	}
	shorter := func(_ *Settings, r *Remote, c *Child) {
		c.Proposals[0].Encr = []Encryption{{transform.ENCR_AES_GCM_16, 128}}
		r.Proposals[0].Encr = []Encryption{{transform.ENCR_AES_GCM_16, 128}}
	}
	pfs := func(_ *Settings, r *Remote, c *Child) { c.Proposals[0].KE = r.groups() }
	none := func(*Settings, *Remote, *Child) {}
	for _, c := range []struct {
		name             string
		check            ProposalCheck
		asks, configured func(*Settings, *Remote, *Child)
		children         int // that stand after a second one was asked for; -1: no IKE SA
	}{
		{"longer keys, strict", CheckStrict, longer, shorter, 2},
		{"longer keys, obey", CheckObey, longer, shorter, 2},
		{"longer keys, exact", CheckExact, longer, shorter, -1},
		{"shorter keys, obey", CheckObey, shorter, longer, -1},
		{"PFS beyond, strict", CheckStrict, pfs, none, 2},
		{"PFS beyond, exact", CheckExact, pfs, none, 1},
		{"PFS missing, strict", CheckStrict, none, pfs, 1},
		{"PFS missing, obey", CheckObey, none, pfs, 2},
		{"PFS missing, exact", CheckExact, none, pfs, 1},
		{"all as configured, exact", CheckExact, pfs, pfs, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := pair(t)
			a.change(c.asks)
			b.change(c.configured)
			b.change(func(_ *Settings, r *Remote, _ *Child) { r.Check = c.check })
			a.initiate()
			w.settle()
			if c.children < 0 {
				wantWords(t, b.wantReason(reasonNoProposal).Text, "ENCR: peer offers ENCR_AES_GCM_16")
				return
			}
			w.advance(time.Minute)
			a.askAgain()
			w.settle()
			w.wantUp(a, b, 1, c.children)
		})
	}
}

// parent_child_strength: no child has a longer key than the IKE SA whose keys it
// descends from, whoever asks.
func TestParentChildStrength(t *testing.T) {
	both := []Encryption{{transform.ENCR_AES_GCM_16, 256}, {transform.ENCR_AES_GCM_16, 128}}
	for _, c := range []struct {
		name       string
		initiator  bool // has the word
		asks, has  []Encryption
		bits       uint16 // of the child; 0: none
		complainer string
	}{
		{"initiator offers less", true, both, both, 128, ""},
		{"responder takes less", false, both, both, 128, ""},
		{"initiator has nothing to offer", true, both[:1], both, 0, "kyoto"},
		{"responder has nothing to take", false, both, both[:1], 0, "tokyo"},
		{"responder is offered nothing", false, both[:1], both, 0, "tokyo"},
		{"3DES is weaker", true, []Encryption{{transform.ENCR_CHACHA20_POLY1305, 0}, {transform.ENCR_AES_GCM_16, 128}}, both, 128, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := pair(t)
			a.change(func(_ *Settings, r *Remote, child *Child) {
				r.ParentStrength, child.Proposals[0].Encr = c.initiator, c.asks
			})
			b.change(func(_ *Settings, r *Remote, child *Child) {
				r.ParentStrength, child.Proposals[0].Encr = !c.initiator, c.has
			})
			a.initiate()
			w.settle()
			if c.bits != 0 {
				w.wantUp(a, b, 1, 1)
				if got := b.kernel.one(t, kernel.In); len(got.EncrKey) != int(c.bits)/8+4 {
					t.Errorf("key of %d octets", len(got.EncrKey))
				}
				return
			}
			if len(a.kernel.sas)+len(b.kernel.sas) != 0 {
				t.Error("a child came up")
			}
			who := map[string]*node{"kyoto": a, "tokyo": b}[c.complainer]
			if !strings.Contains(who.log(), "parent_child_strength forbids") && !strings.Contains(who.log(), "ENCR: peer offers ENCR_AES_GCM_16-256; selector tokyo_out (racoon2.conf:40) accepts ENCR_AES_GCM_16-128") {
				t.Errorf("%s says\n%s", who.name, who.log())
			}
		})
	}
}

// initial_contact: what is sent, and that a peer's is acted on whatever the word.
func TestInitialContactWord(t *testing.T) {
	for _, off := range []bool{false, true} {
		w, a, b := pair(t)
		a.change(func(_ *Settings, r *Remote, _ *Child) { r.NoInitialContact = off })
		b.change(func(_ *Settings, r *Remote, _ *Child) { r.NoInitialContact = true })
		a.initiate()
		w.settle()
		w.wantUp(a, b, 1, 1)
		said := false
		for _, k := range notifies(opened(t, a.e.all()[0], w.sent[2])) {
			said = said || k == message.INITIAL_CONTACT
		}
		if said == off {
			t.Errorf("off %v: INITIAL_CONTACT sent %v", off, said)
		}
		// kyoto forgets everything, and begins again.
		w.advance(time.Minute)
		fresh := w.add("kyoto2", "192.0.2.1", testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24"))
		w.nodes = []*node{fresh, b}
		fresh.kernel.next += 1 << 20
		fresh.change(func(_ *Settings, r *Remote, _ *Child) { r.NoInitialContact = off })
		fresh.initiate()
		w.settle()
		want := 1
		if off {
			want = 2 // the old one stays until it is found dead
		}
		if got := len(b.e.Status()); got != want {
			t.Errorf("off %v: %d IKE SAs at the peer, want %d", off, got, want)
		}
	}
}

// ipsec_sa_nego_time_limit: who asked for a child hears of it, whatever the peer does.
func TestChildTimeLimit(t *testing.T) {
	limit := func(_ *Settings, r *Remote, _ *Child) { r.ChildTimeout = 15 * time.Second }
	t.Run("no answer", func(t *testing.T) {
		w, a, b := pair(t)
		a.change(limit)
		a.initiate()
		w.settle()
		w.advance(time.Minute)
		var held []Send
		w.filter = func(p Send) []Send {
			if x, response := exchangeOf(p); x == message.CREATE_CHILD_SA && response {
				held = append(held, p)
				return nil
			}
			return []Send{p}
		}
		a.askAgain()
		w.advance(14 * time.Second)
		if len(a.failures) != 0 {
			t.Fatalf("failed before its time: %+v", a.failures)
		}
		w.advance(2 * time.Second)
		if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "not set up in time") {
			t.Fatalf("failures %+v", a.failures)
		}
		// The answer that comes at last makes a child that nobody waits for.
		w.filter = nil
		w.deliver(held[0])
		w.settle()
		w.wantUp(a, b, 1, 1)
		w.advance(time.Minute)
		if len(a.failures) != 1 {
			t.Errorf("failures %+v", a.failures)
		}
	})
	t.Run("no time for it", func(t *testing.T) {
		w, a, b := pair(t)
		a.change(limit)
		a.initiate()
		w.settle()
		w.advance(time.Minute)
		b.e.all()[0].closing = true // refuses every child with TEMPORARY_FAILURE
		a.askAgain()
		w.advance(time.Minute)
		if len(a.failures) != 1 || len(a.e.all()[0].postponed) != 0 || len(a.kernel.reserved) != 0 {
			t.Errorf("failures %+v, %d postponed, %d reserved", a.failures, len(a.e.all()[0].postponed), len(a.kernel.reserved))
		}
		b.e.all()[0].closing = false
		a.expireSoft(t)
		w.settle()
		w.wantUp(a, b, 1, 1)
	})
	t.Run("in time", func(t *testing.T) {
		w, a, b := pair(t)
		a.change(limit)
		a.initiate()
		w.settle()
		w.advance(time.Minute)
		a.askAgain()
		w.advance(time.Minute)
		w.wantUp(a, b, 1, 2)
		if len(a.failures)+len(a.downs) != 0 {
			t.Errorf("failures %+v, downs %+v", a.failures, a.downs)
		}
	})
}

// random_padlen, max_padlen and random_pad_content: the sizes of messages vary,
// the padding has other values, and the peer takes them all (RFC 7296 §3.14).
func TestPadding(t *testing.T) {
	for _, cbc := range []bool{false, true} {
		w, a, b := pair(t)
		for _, n := range w.nodes {
			n.change(func(_ *Settings, r *Remote, _ *Child) {
				if cbc {
					r.Proposals[0].Encr = []Encryption{{transform.ENCR_AES_CBC, 128}}
					r.Proposals[0].Integ = []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}
				}
				if n == a {
					r.Padding = Padding{Random: true, Most: 255}
				}
			})
		}
		a.initiate()
		w.settle()
		w.wantUp(a, b, 1, 1)
		sizes, random := map[int]bool{}, false
		from := len(w.sent)
		for range 60 {
			a.act(func(e *Engine) { e.all()[0].probe() })
			w.settle()
		}
		for _, p := range w.sent[from:] {
			if p.Local.Addr() != a.addr {
				if len(p.Data) > 120 {
					t.Errorf("an answer of %d octets from the end that does not pad", len(p.Data))
				}
				continue
			}
			sizes[len(p.Data)] = true
			content := plaintextOf(t, a.e.all()[0], p.Data)
			pad := content[:len(content)-1]
			if len(pad) > 255 || int(content[len(content)-1]) != len(pad) {
				t.Fatalf("%d octets of padding say %d", len(pad), content[len(content)-1])
			}
			random = random || len(bytes.Trim(pad, "\x00")) > 0
		}
		if len(sizes) < 8 || !random {
			t.Errorf("%d sizes, random content %v", len(sizes), random)
		}
		w.wantUp(a, b, 1, 1)
	}
}

// plaintextOf opens a message without payloads down to its padding.
func plaintextOf(t *testing.T, sender *ikeSA, data []byte) []byte {
	t.Helper()
	raw := bytes.Clone(data)
	m, err := message.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	body := m.Payloads[0].(*message.Encrypted).Body
	plain, err := sender.keys.seals.Open(body, raw[:len(raw)-len(body)], nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// send_peers_id: IDr is sent only with the word, and a responder with several
// remotes takes the one that it names.
func TestSendPeersID(t *testing.T) {
	for _, send := range []bool{false, true} {
		w, a, b := pair(t)
		a.change(func(_ *Settings, r *Remote, _ *Child) { r.SendIDr = send })
		a.initiate()
		w.settle()
		w.wantUp(a, b, 1, 1)
		there := false
		for _, p := range opened(t, a.e.all()[0], w.sent[2]) {
			id, ok := p.(*message.ID)
			there = there || ok && !id.Initiator && string(id.Data) == "tokyo.example.test"
		}
		if there != send {
			t.Errorf("send_peers_id %v: IDr sent %v", send, there)
		}
	}
}

// passive: no acquire, no lost child, no end of a lifetime makes it initiate an IKE
// SA; it answers.
func TestPassive(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Passive = true })
	a.initiate()
	w.settle()
	if len(w.sent) != 0 || len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "passive") {
		t.Errorf("%d datagrams, failures %+v", len(w.sent), a.failures)
	}
	b.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
}

// selector_check: a responder whose child has tunnel mode declines transport mode where
// the word says obey, and refuses otherwise; the other way round there is nothing to
// decline (RFC 7296 §1.3.1).
func TestSelectorCheck(t *testing.T) {
	mode := func(m kernel.Mode) func(*Settings, *Remote, *Child) {
		return func(_ *Settings, _ *Remote, c *Child) { c.Mode = m }
	}
	hosts := func(w *world, a, b *node) {
		a.change(func(_ *Settings, _ *Remote, c *Child) {
			c.Outbound = []kernel.Selector{selector("192.0.2.1/32", "192.0.2.2/32")}
		})
		b.change(func(_ *Settings, _ *Remote, c *Child) {
			c.Outbound = []kernel.Selector{selector("192.0.2.2/32", "192.0.2.1/32")}
		})
	}
	for _, c := range []struct {
		name       string
		obey       bool
		asks, has  kernel.Mode
		granted    bool   // by the responder
		complaints string // the responder's, where it refuses
	}{
		{"transport of a tunnel, exact", false, kernel.Transport, kernel.Tunnel, false, "mode: peer asks for transport; selector tokyo_out (racoon2.conf:40) has tunnel"},
		{"transport of a tunnel, obey", true, kernel.Transport, kernel.Tunnel, true, ""},
		{"tunnel of transport, exact", false, kernel.Tunnel, kernel.Transport, false, "mode: peer asks for tunnel; selector tokyo_out (racoon2.conf:40) has transport"},
		{"tunnel of transport, obey", true, kernel.Tunnel, kernel.Transport, false, "mode: peer asks for tunnel; selector tokyo_out (racoon2.conf:40) has transport"},
		{"the same, obey", true, kernel.Transport, kernel.Transport, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := pair(t)
			hosts(w, a, b)
			a.change(mode(c.asks))
			b.change(mode(c.has))
			b.change(func(_ *Settings, r *Remote, _ *Child) { r.TunnelInstead = c.obey })
			installed := map[kernel.Mode]int{}
			b.kernel.fail = func(op kernel.Op) error {
				if add, ok := op.(kernel.AddSA); ok {
					installed[add.SA.Mode]++
				}
				return nil
			}
			a.initiate()
			w.settle()
			switch {
			case !c.granted:
				wantWords(t, b.wantReason(reasonModeMismatch).Text, c.complaints)
				w.wantUp(a, b, 1, 0)
			case c.asks != c.has:
				if installed[kernel.Tunnel] != 2 || len(installed) != 1 {
					t.Errorf("installed %v", installed)
				}
				// This initiator takes no tunnel for transport: it deletes it.
				a.wantReason(reasonModeMismatch)
				w.wantUp(a, b, 1, 0)
			default:
				w.wantUp(a, b, 1, 1)
			}
		})
	}
}
