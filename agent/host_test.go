package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"racoon2/agent/logging"
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

// freePort finds a port of an address that neither UDP nor TCP uses. It is below those
// that the system gives to other tests' connections meanwhile.
func freePort(t *testing.T, addr netip.Addr) uint16 {
	t.Helper()
	for range 100 {
		at := netip.AddrPortFrom(addr, uint16(10000+rand.IntN(20000)))
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			continue
		}
		c.Close()
		if l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at)); err == nil {
			l.Close()
			return at.Port()
		}
	}
	t.Fatalf("no port of %v is free for UDP and TCP", addr)
	return 0
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
	h.protects(peer, "transport", peer.addr.String(), h.addr.String(), peer.addr.String(), more)
}

// protects writes a configuration that protects the traffic between two
// networks in a mode, with the peer at some address.
func (h *host) protects(peer *host, mode, at, my, his, more string) {
	h.t.Helper()
	h.write("racoon2.conf", fmt.Sprintf(`
interface { ike { %[1]v port %[2]d; }; spmd unix "%[5]s/run/spmif"; };
remote peer {
	acceptable_kmp { ikev2; };
	ikev2 {
		my_id ipaddr %[1]v;
		peers_id ipaddr %[3]v;
		peers_ipaddr %[6]s port %[4]d;
		pre_shared_key "%[5]s/psk";
		nat_traversal off;
	};
};
selector out { direction outbound; src %[7]s; dst %[8]s; policy_index protect; };
selector in { direction inbound; src %[8]s; dst %[7]s; policy_index protect; };
policy protect { action auto_ipsec; remote_index peer; ipsec_mode %[10]s; };
%[9]s`, h.addr, h.port, peer.addr, peer.port, h.dir, at, my, his, more, mode))
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
