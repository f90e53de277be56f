package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"racoon2/agent/logging"
	"racoon2/ikev2"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kernel/trace"
	"racoon2/policy/spmif"
)

// host is an agent on a loopback address with a kernel in memory.
type host struct {
	t         *testing.T
	dir       string
	addr      netip.Addr
	port      uint16
	kernel    *fake.Backend
	agent     *Agent
	delivered chan fake.Packet
}

// wire joins the kernels of two hosts.
type wire struct {
	mu    sync.Mutex
	hosts map[netip.Addr]*host
}

func (w *wire) carry(d *fake.Datagram) {
	w.mu.Lock()
	to := w.hosts[d.Dst]
	w.mu.Unlock()
	if to != nil {
		to.kernel.Receive(d)
	}
}

// freePort finds a UDP port that is free on an address.
func freePort(t *testing.T, addr netip.Addr) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// newPair makes two hosts whose configurations name each other.
func newPair(t *testing.T) (a, b *host) {
	t.Helper()
	w := &wire{hosts: make(map[netip.Addr]*host)}
	mk := func(addr string) *host {
		h := &host{t: t, dir: t.TempDir(), addr: netip.MustParseAddr(addr), delivered: make(chan fake.Packet, 16)}
		h.port = freePort(t, h.addr)
		h.kernel = fake.NewBackend(fake.New(addr), w.carry, func(p fake.Packet) { h.delivered <- p })
		w.hosts[h.addr] = h
		return h
	}
	a, b = mk("127.0.0.1"), mk("127.0.0.2")
	a.write("psk", "a secret of both")
	b.write("psk", "a secret of both")
	a.configure(b, "")
	b.configure(a, "")
	return a, b
}

func (h *host) write(name, text string) string {
	h.t.Helper()
	p := filepath.Join(h.dir, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return p
}

// configure writes the configuration for a peer, with more behind it.
func (h *host) configure(peer *host, more string) {
	h.t.Helper()
	h.write("racoon2.conf", fmt.Sprintf(`
interface { ike { %[1]v port %[2]d; }; spmd unix "%[5]s/run/spmif"; };
remote peer {
	acceptable_kmp { ikev2; };
	ikev2 {
		my_id ipaddr %[1]v;
		peers_id ipaddr %[3]v;
		peers_ipaddr %[3]v port %[4]d;
		pre_shared_key "%[5]s/psk";
		nat_traversal off;
	};
};
selector out { direction outbound; src %[1]v; dst %[3]v; policy_index protect; };
selector in { direction inbound; src %[3]v; dst %[1]v; policy_index protect; };
policy protect { action auto_ipsec; remote_index peer; ipsec_mode transport; };
%[6]s`, h.addr, h.port, peer.addr, peer.port, h.dir, more))
}

func (h *host) options() Options {
	h.t.Helper()
	log, err := logging.Open(logging.Options{Level: trace.Debug, Destination: filepath.Join(h.dir, "log")})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		log.Close()
		if h.t.Failed() {
			text, _ := os.ReadFile(filepath.Join(h.dir, "log"))
			h.t.Logf("log of %v:\n%s", h.addr, text)
		}
	})
	return Options{
		Config: filepath.Join(h.dir, "racoon2.conf"), RunDir: filepath.Join(h.dir, "run"),
		Log: log, Backend: h.kernel, Etc: h.dir,
	}
}

func (h *host) start() {
	h.t.Helper()
	var err error
	if h.agent, err = Start(h.options()); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(h.stop)
}

func (h *host) stop() {
	if h.agent != nil {
		h.agent.Shutdown(context.Background())
		h.agent = nil
	}
}

// send has the host send packets to the peer until one arrives there.
func (h *host) send(peer *host) {
	h.t.Helper()
	p := fake.Packet{Selector: kernel.Selector{
		Src: netip.PrefixFrom(h.addr, 32), Dst: netip.PrefixFrom(peer.addr, 32),
		Proto: 17, SrcPort: kernel.PortRange{First: 7, Last: 7}, DstPort: kernel.PortRange{First: 7, Last: 7},
	}, Octets: 100}
	deadline := time.After(10 * time.Second)
	for {
		h.kernel.Send(p)
		select {
		case <-peer.delivered:
			return
		case <-deadline:
			h.t.Fatalf("no packet of %v arrives at %v", h.addr, peer.addr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (h *host) status() *Status {
	h.t.Helper()
	s, err := h.agent.Status(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// left counts the SAs and policies in a host's kernel.
func (h *host) left() (sas, policies int) {
	h.kernel.With(func(k *fake.Kernel, now time.Time) []kernel.Event {
		sas = len(k.Apply(now, kernel.Request{Op: kernel.DumpSA{}}).SAs)
		policies = len(k.Apply(now, kernel.Request{Op: kernel.DumpPolicy{}}).Policies)
		return nil
	})
	return sas, policies
}

func (h *host) client() *spmif.Client {
	h.t.Helper()
	client := spmif.NewClient(dial(h.t, filepath.Join(h.dir, "run", socketName)))
	password, err := ReadSecret(filepath.Join(h.dir, "run", passwordName))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := client.Login(password); err != nil {
		h.t.Fatal(err)
	}
	return client
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

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

func TestReload(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	a.send(b)
	spi := a.status().IKESAs[0].SPIi

	// What is wrong changes nothing and says why.
	before, err := os.ReadFile(filepath.Join(a.dir, "racoon2.conf"))
	if err != nil {
		t.Fatal(err)
	}
	a.write("racoon2.conf", "remote peer { nonsense; };\n")
	var bad *ConfigError
	if err := a.agent.Reload(t.Context()); !errors.As(err, &bad) {
		t.Fatalf("nonsense is taken over: %v", err)
	}
	if got := a.status(); got.IKESAs[0].SPIi != spi || got.Counters["agent."+reasonReloadFailed] != 1 {
		t.Errorf("after nonsense: %+v", got)
	}

	// A further selector leaves the IKE SA alone.
	a.write("racoon2.conf", string(before)+
		"selector drop { direction outbound; src 127.0.0.1; dst 127.0.0.9; policy_index no; };\npolicy no { action discard; };\n")
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the new policy", func() bool { _, n := a.left(); return n == 3 })
	if got := a.status(); len(got.IKESAs) != 1 || got.IKESAs[0].SPIi != spi {
		t.Errorf("the IKE SA was touched: %+v", got.IKESAs)
	}

	// A changed remote is negotiated anew; a new socket is opened, the old one closed.
	a.port = freePort(t, a.addr)
	a.configure(b, "")
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the old IKE SA to be deleted, over the old socket", func() bool {
		return len(a.status().IKESAs) == 0 && len(b.status().IKESAs) == 0
	})
	a.agent.closeLeaving()
	if got := a.status(); len(got.Sockets) != 1 || got.Sockets[0].Address.Port() != a.port {
		t.Errorf("sockets: %+v", got.Sockets)
	}
	waitUntil(t, "the old policy to go", func() bool { _, n := a.left(); return n == 2 })
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

func TestReloadRefusesABusyPort(t *testing.T) {
	a, b := newPair(t)
	a.start()
	old := a.port
	busy, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.addr, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	a.port = busy.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	a.configure(b, "")
	if err := a.agent.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("reload: %v", err)
	}
	if got := a.status().Sockets; len(got) != 1 || got[0].Address.Port() != old {
		t.Errorf("sockets after a refused reload: %+v", got)
	}
}

func TestStartFailures(t *testing.T) {
	busy, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	busyPort := busy.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	for _, test := range []struct {
		name   string
		spoil  func(a, b *host)
		config bool // the configuration is to blame
		want   string
	}{
		{"missing file", func(a, _ *host) { os.Remove(filepath.Join(a.dir, "racoon2.conf")) }, true, "no such file"},
		{"bad directive", func(a, b *host) { a.configure(b, "selecter x { };") }, true, "racoon2.conf:16:1"},
		{"open key file", func(a, _ *host) { os.Chmod(filepath.Join(a.dir, "psk"), 0o644) }, true, "its mode is 0644"},
		{"busy port", func(a, b *host) { a.port = busyPort; a.configure(b, "") }, false, "is in use by another program"},
		{"refused policy", func(a, _ *host) {
			a.kernel.With(func(k *fake.Kernel, _ time.Time) []kernel.Event {
				k.Fail(kernel.AddPolicy{}, syscall.EINVAL)
				k.Fail(kernel.UpdatePolicy{}, syscall.EINVAL)
				return nil
			})
		}, false, "invalid argument"},
		{"open folder", func(a, _ *host) { os.Mkdir(filepath.Join(a.dir, "run"), 0o755) }, false, "is open to others"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t)
			a.t = t
			test.spoil(a, b)
			agent, err := Start(a.options())
			if err == nil {
				agent.Shutdown(t.Context())
				t.Fatal("started")
			}
			var c *ConfigError
			if got := errors.As(err, &c); got != test.config {
				t.Errorf("configuration to blame: %v, want %v", got, test.config)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want %q", err, test.want)
			}
			if sas, policies := a.left(); sas != 0 || policies != 0 {
				t.Errorf("%d SAs and %d policies stay", sas, policies)
			}
			for _, name := range []string{socketName, passwordName} {
				if _, err := os.Stat(filepath.Join(a.dir, "run", name)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s stays", name)
				}
			}
		})
	}
}

func TestSecondAgentIsRefused(t *testing.T) {
	a, _ := newPair(t)
	a.start()
	if _, err := Start(a.options()); err == nil || !strings.Contains(err.Error(), "does another racoon2 run?") {
		t.Errorf("second agent: %v", err)
	}
	if len(a.status().Policies) == 0 {
		t.Error("the first one was disturbed")
	}
}

// TestPanicFailsClosed breaks a core: the agent says so, and abandoning it
// leaves the policies.
func TestPanicFailsClosed(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	a.send(b)
	agent := a.agent
	a.agent = nil
	err := agent.shards[0].do(t.Context(), func() { agent.shards[0].guard(func() { panic("broken") }) })
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-agent.Failed():
		if !strings.Contains(err.Error(), "failed inside") {
			t.Errorf("failure: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody heard of the panic")
	}
	agent.Abandon()
	if _, policies := a.left(); policies == 0 {
		t.Error("the policies are gone: traffic would leave in clear")
	}
	a.kernel.Close()
}
