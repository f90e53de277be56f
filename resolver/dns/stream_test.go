package dns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// certificate makes a certificate for a name, and a pool that trusts it.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestOverTLS is RFC 7858: the right name serves, on one connection for all
// questions; a wrong name, or an unknown authority, does not.
func TestOverTLS(t *testing.T) {
	cert, pool := certificate(t, "dns.example.net")
	z := newZone(t, "127.0.0.1", "a.example.com. 300 IN A 192.0.2.1", "b.example.com. 300 IN A 192.0.2.2")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	counted := &countingListener{Listener: l}
	serve(t, &mdns.Server{Listener: counted, Handler: z})
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	up := resolver.Upstream{Addr: addr, TLSName: "dns.example.net"}

	r := newRig(t, Config{RootCAs: pool}, resolver.Settings{Upstreams: []resolver.Upstream{up}}, "127.0.0.1")
	var work sync.WaitGroup
	for name, want := range map[string]string{"a.example.com.": "[192.0.2.1]", "b.example.com.": "[192.0.2.2]"} {
		work.Go(func() {
			m, err := r.exchange("udp", name, mdns.TypeA)
			if err != nil || answers(m) != want {
				t.Errorf("%s: %v, %v", name, m, err)
			}
		})
	}
	work.Wait()
	if n := counted.count(); n != 1 {
		t.Errorf("%d connections", n)
	}
	z.mu.Lock()
	if n := z.asked[0].Len(); n%paddingBlock != 0 {
		t.Errorf("a question of %d octets is not padded", n)
	}
	z.mu.Unlock()

	up.TLSName = "other.example.net"
	for why, c := range map[string]Config{"wrong name": {RootCAs: pool}, "unknown authority": {RootCAs: x509.NewCertPool()}} {
		s := resolver.Settings{Upstreams: []resolver.Upstream{up}}
		if why == "unknown authority" {
			s.Upstreams[0].TLSName = "dns.example.net"
		}
		r := newRig(t, c, s, "127.0.0.1")
		if m := r.ask("udp", "a.example.com.", mdns.TypeA); m.Rcode != mdns.RcodeServerFailure {
			t.Errorf("%s: %v", why, m)
		}
	}
}

// countingListener counts connections.
type countingListener struct {
	net.Listener
	mu sync.Mutex
	n  int
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.n++
		l.mu.Unlock()
	}
	return c, err
}

func (l *countingListener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// TestConnectionClosedByServer is a server that ends its connection after each
// answer: the next question finds another (RFC 7766 §6.2.4).
func TestConnectionClosedByServer(t *testing.T) {
	z := newZone(t, "127.0.0.1", "a.example.com. 300 IN A 192.0.2.1", "b.example.com. 300 IN A 192.0.2.2", "c.example.com. 300 IN A 192.0.2.3")
	z.handle(func(w mdns.ResponseWriter, q *mdns.Msg) bool {
		m := new(mdns.Msg).SetReply(q)
		if w.LocalAddr().Network() == "udp" {
			m.Truncated = true
			_ = w.WriteMsg(m)
			return true
		}
		z.mu.Lock()
		m.Answer = z.records[mdns.CanonicalName(q.Question[0].Name)+" A"]
		z.mu.Unlock()
		_ = w.WriteMsg(m)
		_ = w.Close()
		return true
	})
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z)}, "127.0.0.1")
	for name, want := range map[string]string{"a.example.com.": "[192.0.2.1]", "b.example.com.": "[192.0.2.2]", "c.example.com.": "[192.0.2.3]"} {
		if got := answers(r.ask("udp", name, mdns.TypeA)); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestPipelining sends many questions on one connection at once, shuts down its
// side, and wants all answers (RFC 7766 §6.2.1.1, §6.2.4).
func TestPipelining(t *testing.T) {
	z := newZone(t, "127.0.0.1", "www.example.com. 300 IN A 192.0.2.1")
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z)}, "127.0.0.1")
	conn, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const questions = 3 * maxOutstanding
	go func() {
		for i := range questions {
			m := new(mdns.Msg).SetQuestion("www.example.com.", mdns.TypeA)
			m.Id = uint16(i)
			octets, err := m.Pack()
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(octets))), octets...)); err != nil {
				t.Error(err)
				return
			}
		}
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	seen := make(map[uint16]bool)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			break
		}
		octets := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, octets); err != nil {
			t.Fatal(err)
		}
		seen[binary.BigEndian.Uint16(octets)] = true
	}
	if len(seen) != questions {
		t.Errorf("%d answers to %d questions", len(seen), questions)
	}
}

// TestConnectionsAreBounded opens more connections than a client may have.
func TestConnectionsAreBounded(t *testing.T) {
	r := newRig(t, Config{}, resolver.Settings{}, "127.0.0.1")
	closed := 0
	for range maxConnsClient + 5 {
		conn, err := net.Dial("tcp", r.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); err == io.EOF {
			closed++
		} else if e, ok := err.(net.Error); !ok || !e.Timeout() {
			closed++
		}
	}
	if closed != 5 || r.proxy.Counters()["dns_tcp_refused"] != 5 {
		t.Errorf("%d of the connections were closed", closed)
	}
	if m := r.ask("udp", "localhost.", mdns.TypeA); answers(m) != "[127.0.0.1]" {
		t.Errorf("UDP suffers: %v", m)
	}
}

// TestListenAgain moves from one address to another and listens on all.
func TestListenAgain(t *testing.T) {
	r := newRig(t, Config{}, resolver.Settings{}, "127.0.0.1")
	port := r.addr.Port()
	old := r.addr
	if err := r.proxy.Listen([]netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port)}); err != nil {
		t.Fatal(err)
	}
	r.addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port)
	if got := answers(r.ask("udp", "localhost.", mdns.TypeA)); got != "[127.0.0.1]" {
		t.Errorf("got %s", got)
	}
	r.addr = old
	if _, err := r.exchange("tcp", "localhost.", mdns.TypeA); err == nil {
		t.Error("the old address serves")
	}
	// Any address of either family: the answer comes from where the question went.
	any4, any6 := netip.AddrPortFrom(netip.IPv4Unspecified(), port), netip.AddrPortFrom(netip.IPv6Unspecified(), port)
	if err := r.proxy.Listen(nil); err != nil {
		t.Fatal(err)
	}
	if err := r.proxy.Listen([]netip.AddrPort{any4, any6}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"127.0.0.3", "127.0.0.1", "::1"} {
		r.addr = netip.AddrPortFrom(netip.MustParseAddr(at), port)
		if got := answers(r.ask("udp", "localhost.", mdns.TypeA)); got != "[127.0.0.1]" {
			t.Errorf("%s: got %s", at, got)
		}
	}
	if err := r.proxy.Listen([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}); err == nil {
		t.Error("an address that is not ours can be listened on")
	}
}
