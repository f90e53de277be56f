package dns

import (
	"net"
	"net/netip"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// What the cache knows is answered from the address that was asked, too, where
// the socket is bound to none, and so is what had to be asked for.
func TestSourceOfAnswers(t *testing.T) {
	for _, c := range []struct {
		any   netip.Addr
		hosts []string
	}{{netip.IPv4Unspecified(), []string{"127.0.0.3", "127.0.0.1"}}, {netip.IPv6Unspecified(), []string{"::1"}}} {
		z := newZone(t, "127.0.0.1", "www.example.com. 60 IN A 192.0.2.1", "slow.example.com. 0 IN A 192.0.2.2")
		r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z), TTLFloor: -1}, "127.0.0.1")
		port := r.addr.Port()
		if err := r.proxy.Listen([]netip.AddrPort{netip.AddrPortFrom(c.any, port)}); err != nil {
			t.Fatal(err)
		}
		for range 10 { // alone and with others, see adapt
			for _, host := range c.hosts {
				r.addr = netip.AddrPortFrom(netip.MustParseAddr(host), port)
				if got := answers(r.ask("udp", "www.example.com.", mdns.TypeA)); got != "[192.0.2.1]" {
					t.Errorf("%v: %s", host, got)
				}
				if got := answers(r.ask("udp", "slow.example.com.", mdns.TypeA)); got != "[192.0.2.2]" {
					t.Errorf("%v: %s", host, got)
				}
			}
		}
		if n := z.count("www.example.com.", mdns.TypeA); n != 1 {
			t.Errorf("%d questions upstream", n)
		}
	}
}

// A proxy ends while its reader waits, while questions come, and while some wait
// for answers that come too late.
func TestCloseWhileAsked(t *testing.T) {
	for range 20 {
		z := newZone(t, "127.0.0.1")
		z.handle(func(w mdns.ResponseWriter, q *mdns.Msg) bool { time.Sleep(2 * time.Millisecond); return false })
		r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z)}, "127.0.0.1")
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.addr))
		if err != nil {
			t.Fatal(err)
		}
		question, err := new(mdns.Msg).SetQuestion("late.example.com.", mdns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		asking := make(chan struct{})
		go func() {
			defer close(asking)
			for range 100 {
				_, _ = conn.Write(question) // refused once nobody listens
			}
		}()
		ended := make(chan struct{})
		go func() { r.proxy.Close(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("the proxy does not end")
		}
		<-asking
		conn.Close()
	}
}

// fixedPackets is a socket on which the same question comes again and again.
type fixedPackets struct {
	msg  []byte
	from netip.AddrPort
	sent int
}

func (p *fixedPackets) read() (int, error)                        { return 1, nil }
func (p *fixedPackets) question(int) ([]byte, netip.AddrPort)     { return p.msg, p.from }
func (p *fixedPackets) source(int) []byte                         { return nil }
func (p *fixedPackets) answer(int, []byte)                        { p.sent++ }
func (p *fixedPackets) flush() int                                { return 0 }
func (p *fixedPackets) send([]byte, netip.AddrPort, []byte) error { return nil }
func (p *fixedPackets) stop()                                     {}
func (p *fixedPackets) close()                                    {}

// A cached answer makes no garbage, and no goroutine but the reader has a part in it.
func TestCachedMakesNoGarbage(t *testing.T) {
	z := newZone(t, "127.0.0.1", "www.example.com. 60 IN A 192.0.2.1")
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z), RateLimit: 1 << 20}, "127.0.0.1")
	r.ask("udp", "www.example.com.", mdns.TypeA)
	q := new(mdns.Msg).SetQuestion("wWw.example.com.", mdns.TypeA)
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	p := &fixedPackets{msg: msg, from: netip.MustParseAddrPort("127.0.0.1:4000")}
	b := newBatch(&udpListener{proxy: r.proxy, io: p}, p)
	before := p.sent
	if n := testing.AllocsPerRun(200, func() { b.serve(1) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if p.sent-before != 201 {
		t.Errorf("%d answers", p.sent-before)
	}
}
