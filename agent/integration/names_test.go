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
	alias map[string]string     // names that CNAMEs lead on from

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
	addrs, name := n.addrs, q.Question[0].Name
	for to, ok := n.alias[strings.ToLower(name)]; ok; to, ok = n.alias[name] {
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 1}, Target: to})
		name = to
	}
	if a, ok := n.named[strings.ToLower(name)]; ok {
		addrs = []netip.Addr{a}
	}
	for _, a := range addrs {
		header := dns.RR_Header{Name: name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
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

// A selector is for all names below a domain. Two names have one address, a third
// leads to one of them over CNAMEs, and an address leaves when the last name of it
// does. With require_dnssec what the name server has not validated is not believed.
func TestNamesBelow(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "tunnel", false)
			one, other := p.right.inner, p.right.inner.Next()
			must(t, p.right.ns.Address("lo", netip.PrefixFrom(other, other.BitLen()).String()))
			n := &nameServer{
				named: map[string]netip.Addr{"a.example.com.": one, "b.example.com.": one},
				alias: map[string]string{"c.example.com.": "via.example.net.", "via.example.net.": "d.example.com.", "e.example.com.": "a.example.com."},
			}
			n.named["d.example.com."] = other
			n.serve(t, p.left.ns)
			p.a.conf.PeerNet = "*.example.com"
			p.a.configure()
			p.a.write("racoon2.conf", p.a.conf.render(p.a.dir+"/peer.psk")+
				"resolver { resolver on; nameserver 127.0.0.1 port 5300; dns_query 127.0.0.1; ttl_floor 1; require_dnssec on; };\n")
			w := p.watch(t)
			p.start()
			if got, err := lookUpName(p.left.ns, "a.example.com.", family); err == nil {
				t.Errorf("without AD the name has %v", got)
			}
			n.mu.Lock()
			n.authentic = true
			n.mu.Unlock()
			for name, want := range map[string]netip.Addr{
				"a.example.com.": one, "B.example.com.": one, "c.example.com.": other, "e.example.com.": one, "d.example.com.": other,
			} {
				waitFor(t, 20*time.Second, fmt.Sprintf("%s to stand for %v", name, want), func() bool {
					got, err := lookUpName(p.left.ns, name, family)
					return err == nil && len(got) == 1 && got[0] == want
				})
				ping(t, p.left, p.left.inner, want, 15*time.Second)
			}
			w.wantESP(netlab.ESP, 10)
			got := p.a.mustCtl("fqdn", "query", one.String())
			for _, name := range []string{"a.example.com.", "b.example.com.", "e.example.com."} {
				if !strings.Contains(got, name) {
					t.Errorf("%s is not among the names of %v: %q", name, one, got)
				}
			}
			if got, err := lookUpName(p.left.ns, "elsewhere.example.org.", family); err != nil || len(got) != 0 {
				t.Errorf("a name that no selector is for: %v, %v", got, err)
			}
		})
	}
}
