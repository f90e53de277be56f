package agent

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"racoon2/ikev2"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kernel/trace"
	"racoon2/policy/spmif"
)

func TestTwoAgents(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	a.send(b)
	b.send(a)

	s := a.status()
	if len(s.IKESAs) != 1 || len(s.IKESAs[0].Children) != 1 || len(s.Policies) == 0 || s.Kernel.Name != "fake" {
		t.Fatalf("status: %+v", s)
	}
	child := s.IKESAs[0].Children[0]
	if child.Name != "out" || child.Mode != "transport" || child.Out == nil || child.Out.Packets == 0 || child.In == nil || child.In.Packets == 0 {
		t.Errorf("child: %+v", child)
	}
	if peer := b.status().IKESAs[0]; peer.SPIi != s.IKESAs[0].SPIi || peer.Children[0].SPIIn != child.SPIOut {
		t.Errorf("the two ends differ: %+v and %+v", peer, s.IKESAs[0])
	}

	client := a.client()
	if name, err := client.SLID(s.Policies[0].ID); err != nil || name != s.Policies[0].Selector {
		t.Errorf("SLID %d: %q, %v", s.Policies[0].ID, name, err)
	}
	entries, err := client.PolicyDump()
	if err != nil || len(entries) != len(s.Policies) {
		t.Errorf("POLICY DUMP: %v, %v", entries, err)
	}
	sas, err := client.SAList()
	if err != nil || len(sas) != 2 || sas[0].Name != "peer" || !sas[1].Child {
		t.Errorf("SA LIST: %v, %v", sas, err)
	}
	if _, _, err := client.SAFlush("nobody"); !errors.Is(err, spmif.ErrNotFound) {
		t.Errorf("SA FLUSH nobody: %v", err)
	}
	if ike, children, err := client.SAFlush("peer"); err != nil || ike != 1 || children != 1 {
		t.Errorf("SA FLUSH: %d, %d, %v", ike, children, err)
	}
	waitUntil(t, "the peer to hear of the flush", func() bool { return len(b.status().IKESAs) == 0 })
	a.send(b) // comes back by itself

	a.stop()
	waitUntil(t, "the peer to hear of the end", func() bool { return len(b.status().IKESAs) == 0 })
	b.stop()
	for _, h := range []*host{a, b} {
		if sas, policies := h.left(); sas != 0 || policies != 0 {
			t.Errorf("%v leaves %d SAs and %d policies", h.addr, sas, policies)
		}
		if _, err := os.Stat(filepath.Join(h.dir, "run", passwordName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the password file stays: %v", err)
		}
	}
}

// TestInitiatorIsBoundElsewhere has a host begin whose route would leave from an
// address that its socket is not bound to.
func TestInitiatorIsBoundElsewhere(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	b.send(a)
	if s := b.status(); len(s.IKESAs) != 1 || !s.IKESAs[0].Initiator {
		t.Errorf("IKE SAs: %+v", s.IKESAs)
	}
}

// TestFlood pours IKE_SA_INIT requests and garbage from spoofed addresses into
// an agent with an established tunnel: what is too much is dropped and counted,
// the log stays short, and the tunnel goes on.
func TestFlood(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	a.agent.log.SetLevel(trace.Info)
	a.send(b)
	spi := a.status().IKESAs[0].SPIi
	e := a.agent.sockets.all()[0]
	request := make([]byte, 300)
	request[16], request[17], request[18], request[19] = 33, 0x20, 34, 0x08 // SA, 2.0, IKE_SA_INIT, I
	request[26], request[27] = 300>>8, 300&0xff
	const datagrams = 100_000
	addr := netip.MustParseAddr("198.18.0.0")
	for i := range datagrams {
		addr = addr.Next()
		request[7] = byte(i) | 1
		a.agent.arrived(e, e.addr, netip.AddrPortFrom(addr, 500), request)
	}
	a.agent.arrived(e, e.addr, netip.AddrPortFrom(addr, 500), make([]byte, maxIKE+1))
	b.send(a)
	a.send(b)
	s := a.status()
	if s.Counters["agent."+reasonTooLong] != 1 || s.Counters["agent.datagrams_dropped"] != s.Counters["agent."+reasonOverload] {
		t.Errorf("counters: %v", s.Counters)
	}
	if len(s.IKESAs) != 1 || s.IKESAs[0].SPIi != spi || s.Counters["ikev2.half_open"] > maxHalfOpen {
		t.Errorf("after the flood: %+v, half-open %d", s.IKESAs, s.Counters["ikev2.half_open"])
	}
	info, err := os.Stat(filepath.Join(a.dir, "log"))
	if err != nil || info.Size() > 1<<20 {
		t.Errorf("log of %d octets, %v", info.Size(), err)
	}
}

func TestPeersMeetOneShard(t *testing.T) {
	request := make([]byte, 28)
	request[19] = 0x08
	peer := netip.MustParseAddrPort("192.0.2.2:500")
	want := ikev2.ShardOfAddress(peer.Addr(), 4)
	for spi := range 256 {
		request[0] = byte(spi)
		if got := ikev2.ShardOf(request, netip.AddrPortFrom(peer.Addr(), uint16(spi+1)), 4); got != want {
			t.Fatalf("SPI %d goes to shard %d, others to %d", spi, got, want)
		}
	}
	request[8] = 3 // an SPI of ours
	if got := ikev2.ShardOf(request, peer, 4); got != 3 {
		t.Errorf("a message with our SPI goes to shard %d", got)
	}
	if got := ikev2.ShardOf(nil, peer, 4); got != 0 {
		t.Errorf("garbage goes to shard %d", got)
	}
	seen := make(map[int]bool)
	for a := netip.MustParseAddr("192.0.2.1"); len(seen) < 4; a = a.Next() {
		seen[ikev2.ShardOfAddress(a, 4)] = true
	}
}

// TestOthersMeddle has somebody else remove SAs from the kernel; the last time
// the event about it is lost. The engine hears of it, and the tunnel comes back.
func TestOthersMeddle(t *testing.T) {
	for _, test := range []struct {
		name string
		lose int
		op   func(id kernel.SAID) kernel.Op
	}{
		{"one deleted", 0, func(id kernel.SAID) kernel.Op { return kernel.DeleteSA{ID: id} }},
		{"all flushed", 0, func(kernel.SAID) kernel.Op { return kernel.FlushSA{} }},
		{"one deleted, event lost", 1, func(id kernel.SAID) kernel.Op { return kernel.DeleteSA{ID: id} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t)
			a.start()
			b.start()
			a.send(b)
			before := a.status().IKESAs[0].Children[0]
			a.kernel.With(func(k *fake.Kernel, now time.Time) []kernel.Event {
				k.LoseEvents(test.lose)
				spi, err := strconv.ParseUint(before.SPIIn, 16, 32)
				if err != nil {
					t.Fatal(err)
				}
				events, err := k.Foreign(now, test.op(kernel.SAID{Dst: a.addr, Proto: kernel.ESP, SPI: kernel.SPI(spi)}))
				if err != nil {
					t.Fatal(err)
				}
				return events
			})
			waitUntil(t, "the child to go", func() bool {
				for _, s := range a.status().IKESAs {
					for _, c := range s.Children {
						if c.SPIIn == before.SPIIn {
							return false
						}
					}
				}
				return true
			})
			a.send(b)
			b.send(a)
		})
	}
}

// SAs that an agent left behind when it was killed would go on to match, and no
// acquire would come. Those of other programs stay.
func TestLeftoversGo(t *testing.T) {
	a, b := newPair(t)
	add := func(reqID uint32, spi kernel.SPI) {
		sa := kernel.SA{
			SAID: kernel.SAID{Dst: b.addr, Proto: kernel.ESP, SPI: spi}, Src: a.addr, Direction: kernel.Out,
			Mode: kernel.Transport, ReqID: reqID, Encr: transform.ENCR_AES_GCM_16, EncrKey: make([]byte, 20),
		}
		a.kernel.With(func(k *fake.Kernel, now time.Time) []kernel.Event {
			if r := k.Apply(now, kernel.Request{Op: kernel.AddSA{SA: sa}}); r.Err != nil {
				t.Fatal(r.Err)
			}
			return nil
		})
	}
	add(firstReqID, 0x1001)
	add(5, 0x1002)
	a.start()
	b.start()
	if sas, _ := a.left(); sas != 1 {
		t.Errorf("%d SAs are left after the start", sas)
	}
	a.send(b)
}

func TestAddressesChange(t *testing.T) {
	a, b := newPair(t)
	a.configure(b, `selector mine { direction outbound; src MY_IPV4; dst 198.51.100.1; policy_index no; };
policy no { action discard; };`)
	a.start()
	b.start()
	a.send(b)
	spi := a.status().IKESAs[0].SPIi
	_, installed := a.left()
	real := a.agent.host
	a.agent.host = nil // as if every address of the host were new
	a.agent.addressesChanged()
	if !sameInterfaces(a.agent.host, real) {
		t.Errorf("addresses %v, want %v", a.agent.host, real)
	}
	a.send(b)
	if s := a.status(); len(s.IKESAs) != 1 || s.IKESAs[0].SPIi != spi {
		t.Errorf("the IKE SA was touched: %+v", s.IKESAs)
	}
	if _, now := a.left(); now != installed {
		t.Errorf("%d policies, want %d", now, installed)
	}
}

// TestNATPort sorts what arrives on the NAT traversal port.
func TestNATPort(t *testing.T) {
	a, _ := newPair(t)
	a.start()
	e := &endpoint{bind: bind{addr: netip.AddrPortFrom(a.addr, natPort), nat: true}}
	remote := netip.MustParseAddrPort("192.0.2.9:4500")
	for _, data := range []string{"\xff", "\xff\xff", "\x00\x00\x00\x01esp", "\x00\x00\x00\x00"} {
		a.agent.arrived(e, e.addr, remote, []byte(data))
	}
	c := a.status().Counters
	if c["agent."+reasonKeepalive] != 1 || c["agent."+reasonTooShort] != 1 {
		t.Errorf("counters: %v", c)
	}
}
