//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"racoon2/kernel/kerneltest/netlab"
)

// nameServer is a DNS server on left's loopback whose one name has the
// addresses of now.
type nameServer struct {
	mu    sync.Mutex
	addrs []netip.Addr
	named map[string]netip.Addr // names with an address of their own

	failing   bool // nothing is answered
	authentic bool // answers have AD
}

func (n *nameServer) set(addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs = addrs
}

// fail has the server answer nothing, or answer again.
func (n *nameServer) fail(failing bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failing = failing
}

func (n *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable, m.AuthenticatedData = true, n.authentic
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failing {
		return
	}
	addrs := n.addrs
	if a, ok := n.named[strings.ToLower(q.Question[0].Name)]; ok {
		addrs = []netip.Addr{a}
	}
	for _, a := range addrs {
		header := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
		switch {
		case q.Question[0].Qtype == dns.TypeA && a.Is4():
			m.Answer = append(m.Answer, &dns.A{Hdr: header, A: a.AsSlice()})
		case q.Question[0].Qtype == dns.TypeAAAA && a.Is6():
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: header, AAAA: a.AsSlice()})
		}
	}
	_ = w.WriteMsg(m)
}

// serve runs the server in a namespace, on port 5300 of its loopback address.
func (n *nameServer) serve(t *testing.T, in *netlab.NS) {
	t.Helper()
	started, done := make(chan struct{}), make(chan error, 1)
	s := &dns.Server{Addr: "127.0.0.1:5300", Net: "udp", Handler: n, NotifyStartedFunc: func() { close(started) }}
	go func() { done <- in.Do(s.ListenAndServe) }()
	select {
	case <-started:
	case err := <-done:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-done
	})
}

// lookUp asks the proxy as an application's resolver does.
func lookUp(in *netlab.NS, family string) (found []netip.Addr, err error) {
	return lookUpName(in, "www.example.com.", family)
}

func lookUpName(in *netlab.NS, name, family string) (found []netip.Addr, err error) {
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	if family == "v6" {
		q.Question[0].Qtype = dns.TypeAAAA
	}
	err = in.Do(func() error {
		m, _, err := new(dns.Client).Exchange(q, "127.0.0.1:53")
		if err != nil {
			return err
		}
		if m.Rcode != dns.RcodeSuccess {
			return fmt.Errorf("the proxy answers %s", dns.RcodeToString[m.Rcode])
		}
		for _, rr := range m.Answer {
			switch rr := rr.(type) {
			case *dns.A:
				found = append(found, netip.AddrFrom4([4]byte(rr.A.To4())))
			case *dns.AAAA:
				found = append(found, netip.AddrFrom16([16]byte(rr.AAAA)))
			}
		}
		return nil
	})
	return found, err
}

// An application looks a name up through the proxy, and its first packet leaves
// as ESP. The record changes: the policy follows, the new address is protected
// from its first packet on, and nothing for the old one leaves in clear.
func TestNames(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "tunnel", false)
			first, second := p.right.inner, p.right.inner.Next()
			must(t, p.right.ns.Address("lo", netip.PrefixFrom(second, second.BitLen()).String()))
			n := &nameServer{}
			n.set(first)
			n.serve(t, p.left.ns)

			p.a.conf.PeerNet = "www.example.com"
			p.a.configure()
			p.a.write("racoon2.conf", p.a.conf.render(p.a.dir+"/peer.psk")+
				"resolver { resolver on; nameserver 127.0.0.1 port 5300; dns_query 127.0.0.1; ttl_floor 1; };\n")
			w := p.watch(t)
			p.start()

			resolve := func(want netip.Addr) {
				t.Helper()
				waitFor(t, 20*time.Second, fmt.Sprintf("the name to stand for %v", want), func() bool {
					got, err := lookUp(p.left.ns, family)
					return err == nil && len(got) == 1 && got[0] == want
				})
			}
			resolve(first)
			ping(t, p.left, p.left.inner, first, 15*time.Second)
			w.wantESP(netlab.ESP, 2)
			if got := p.a.mustCtl("fqdn", "query", first.String()); strings.TrimSpace(got) != "www.example.com." {
				t.Errorf("names of %v: %q", first, got)
			}

			w.reset()
			n.set(second)
			resolve(second)
			ping(t, p.left, p.left.inner, second, 15*time.Second)
			w.wantESP(netlab.ESP, 2)
			noPing(t, p.left, p.left.inner, first, 3)
			w.wantNoClear()
		})
	}
}
