//go:build linux

package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"racoon2/kernel/kerneltest/netlab"
)

// host runs programs on a site with files of its own in /etc: those of C's
// resolver, in a mount namespace, so that this machine's are not touched.
type host struct {
	t   *testing.T
	in  *netlab.NS
	dir string
}

func newHost(t *testing.T, in *netlab.NS) *host {
	t.Helper()
	h := &host{t: t, in: in, dir: t.TempDir()}
	h.write("hosts", "127.0.0.1 localhost\n")
	h.write("nsswitch.conf", "hosts: files dns\n")
	h.options("")
	return h
}

func (h *host) write(name, text string) {
	h.t.Helper()
	must(h.t, os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o644))
}

// options writes resolv.conf: the proxy, and what is said of queries.
func (h *host) options(words string) {
	h.t.Helper()
	h.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:10 attempts:2 "+words+"\n")
}

// run returns what a program writes.
func (h *host) run(program string, args ...string) string {
	h.t.Helper()
	const script = `for f in hosts nsswitch.conf resolv.conf; do mount --bind "$0/$f" /etc/$f || exit 99; done; exec "$@"`
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	all := append([]string{"--mount", "--propagation", "private", "sh", "-c", script, h.dir, program}, args...)
	out, err := h.in.Command(ctx, "unshare", all...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// serveHTTP answers requests on a site with the address that they came from.
func serveHTTP(t *testing.T, in *netlab.NS, addr netip.Addr) {
	t.Helper()
	var l net.Listener
	must(t, in.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(addr, 80).String())
		return err
	}))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s asks for %s\n", host, r.Host)
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-ended })
}

// said are the DNS messages that a site has sent on its loopback, to the proxy
// or from it.
func said(t *testing.T, c *netlab.Capture, answers bool) (out []message) {
	t.Helper()
	for _, f := range c.Frames() {
		port := f.DstPort
		client := f.SrcPort
		if answers {
			port, client = f.SrcPort, f.DstPort
		}
		if !f.Outgoing || f.Proto != 17 || port != 53 {
			continue
		}
		m := new(dns.Msg)
		must(t, m.Unpack(f.Payload))
		out = append(out, message{m, client})
	}
	return out
}

// message is one of them, and the client's port.
type message struct {
	*dns.Msg
	client uint16
}

// Programs with C's resolver, and dig, look names up through the proxy: curl's
// first packet to a name nobody has asked for before leaves as ESP.
func TestApplications(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "tunnel", false)
			must(t, p.left.ns.Address("lo", "198.51.100.9/32", "2001:db8:9::9/128")) // both families are asked for
			other := map[string]netip.Addr{"v4": netip.MustParseAddr("2001:db8:7::7"), "v6": netip.MustParseAddr("198.51.100.7")}[family]
			n := &nameServer{authentic: true}
			n.set(p.right.inner, other)
			n.serve(t, p.left.ns)
			p.a.conf.PeerNet = "www.example.com"
			p.a.configure()
			p.a.write("racoon2.conf", p.a.conf.render(p.a.dir+"/peer.psk")+
				"resolver { resolver on; nameserver 127.0.0.1 port 5300; dns_query 127.0.0.1; };\n")
			serveHTTP(t, p.right.ns, p.right.inner)
			h := newHost(t, p.left.ns)
			lo, err := p.left.ns.Capture("lo")
			must(t, err)
			w := p.watch(t)
			p.start()

			// curl comes first: what it sends before the SA stands is held or dropped, and sent again.
			got := h.run("curl", "-sS", "--max-time", "40", "--interface", p.left.inner.String(), "http://www.example.com/")
			if want := fmt.Sprintf("%v asks for www.example.com\n", p.left.inner); got != want {
				t.Errorf("curl got %q, want %q", got, want)
			}
			w.wantESP(netlab.ESP, 4)
			waitFor(t, 20*time.Second, "the privileges to go, with a thread that waits for questions", func() bool {
				return strings.Contains(p.a.log(), "privileges are given up")
			})

			t.Run("getent", func(t *testing.T) { getent(t, h, lo, p.right.inner, other) })
			t.Run("dig", func(t *testing.T) { dig(t, h, p.right.inner) })
			t.Run("stub", func(t *testing.T) { stub(t, p.left.ns, p.right.inner, other) })
			w.wantNoClear()
		})
	}
}

// getent asks for both families at once from one socket, with what resolv.conf
// says of EDNS(0) and AD.
func getent(t *testing.T, h *host, lo *netlab.Capture, addrs ...netip.Addr) {
	for _, c := range []struct {
		options  string
		edns, ad bool
	}{{"", false, false}, {"edns0", true, false}, {"trust-ad", false, true}, {"edns0 trust-ad", true, true}, {"edns0 trust-ad use-vc", true, true}} {
		t.Run("options "+c.options, func(t *testing.T) {
			lo.Reset()
			h.options(c.options)
			out := h.run("getent", "ahosts", "www.example.com")
			for _, a := range addrs {
				if !strings.Contains(out, a.String()+" ") {
					t.Errorf("%v is not in\n%s", a, out)
				}
			}
			if strings.Contains(c.options, "use-vc") { // over TCP, which the capture does not take apart
				return
			}
			var queries, answers []message
			waitFor(t, 10*time.Second, "two questions and two answers on the loopback", func() bool {
				queries, answers = said(t, lo, false), said(t, lo, true)
				return len(queries) >= 2 && len(answers) >= 2
			})
			if len(queries) != 2 || len(answers) != 2 || queries[0].client != queries[1].client || queries[0].Question[0].Qtype == queries[1].Question[0].Qtype {
				t.Fatalf("%d questions, %d answers: %v", len(queries), len(answers), queries)
			}
			for _, q := range queries {
				if q.AuthenticatedData != c.ad || (q.IsEdns0() != nil) != c.edns {
					t.Errorf("not what glibc is meant to ask with %q: %v", c.options, q)
				}
			}
			for _, a := range answers {
				if a.AuthenticatedData != c.ad || (a.IsEdns0() != nil) != c.edns || a.Truncated || !a.RecursionAvailable || len(a.Answer) != 1 {
					t.Errorf("answer with %q: %v", c.options, a)
				}
			}
		})
	}
}

// dig shows what the header and the OPT record of an answer say.
func dig(t *testing.T, h *host, addr netip.Addr) {
	kind := "A"
	if addr.Is6() {
		kind = "AAAA"
	}
	for _, c := range []struct {
		args, want string
		not        string
	}{
		{"+noadflag +noedns", "flags: qr rd ra;", "OPT PSEUDOSECTION"},
		{"+adflag +noedns", "flags: qr rd ra ad;", "OPT PSEUDOSECTION"},
		{"+dnssec +noadflag", "flags: qr rd ra ad;", "MBZ"},
		{"+dnssec", "; EDNS: version: 0, flags: do; udp: 1232", ""},
		{"+cdflag +noadflag +noedns", "flags: qr rd ra cd;", ""},
		{"+bufsize=512", "udp: 1232", ""},
		{"+tcp", "flags: qr rd ra ad;", ""},
		{"+tcp +keepopen +dnssec", "flags: do", ""},
		{"+edns=1 +noednsnegotiation", "BADVERS", ""},
		{"+nocookie", "status: NOERROR", ""},
		{"+cookie", "status: NOERROR", ""},
		{"+ednsopt=65001:0102", "status: NOERROR", ""},
		{"+norecurse", "status: REFUSED", ""},
	} {
		args := append(strings.Fields(c.args), "+tries=1", "+timeout=10", "@127.0.0.1", "wWw.eXample.coM", kind)
		out := h.run("dig", args...)
		answered := !strings.Contains(out, "BADVERS") && !strings.Contains(out, "REFUSED")
		if !strings.Contains(out, c.want) || c.not != "" && strings.Contains(out, c.not) || !strings.Contains(out, ";wWw.eXample.coM.") ||
			answered && !strings.Contains(out, addr.String()+"\n") {
			t.Errorf("dig %s: want %q in\n%s", strings.Join(args, " "), c.want, out)
		}
	}
}

// stub asks as systemd-resolved asks its servers: DO with a large buffer, CD where
// it validates by itself, letters as they are, both families at once from one
// socket; what proves a zone; and more than one question over a connection.
func stub(t *testing.T, in *netlab.NS, addrs ...netip.Addr) {
	ask := func(id uint16, kind uint16, checkingDisabled bool) *dns.Msg {
		q := new(dns.Msg).SetQuestion("Www.Example.cOm.", kind)
		q.Id, q.CheckingDisabled = id, checkingDisabled
		q.SetEdns0(65494, true)
		return q
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, checkingDisabled := range []bool{false, true} {
			var conn *dns.Conn
			must(t, in.Do(func() (err error) {
				conn, err = dns.Dial(network, "127.0.0.1:53")
				return err
			}))
			conn.UDPSize = 65494
			kinds := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSOA, dns.TypeDS, dns.TypeDNSKEY, dns.TypeHTTPS}
			for i, kind := range kinds {
				must(t, conn.WriteMsg(ask(uint16(i), kind, checkingDisabled)))
			}
			must(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
			var found []netip.Addr
			seen := map[uint16]bool{}
			for range kinds {
				m, err := conn.ReadMsg()
				must(t, err)
				q := m.Question[0]
				if int(m.Id) >= len(kinds) || seen[m.Id] || q.Qtype != kinds[m.Id] || q.Name != "Www.Example.cOm." || m.Rcode != dns.RcodeSuccess ||
					m.CheckingDisabled != checkingDisabled || m.IsEdns0() == nil || !m.IsEdns0().Do() || m.Truncated {
					t.Errorf("%s, CD %v: %v", network, checkingDisabled, m)
				}
				seen[m.Id] = true
				for _, rr := range m.Answer {
					switch rr := rr.(type) {
					case *dns.A:
						found = append(found, netip.AddrFrom4([4]byte(rr.A.To4())))
					case *dns.AAAA:
						found = append(found, netip.AddrFrom16([16]byte(rr.AAAA)))
					default:
						t.Errorf("%v", rr)
					}
					if !m.AuthenticatedData {
						t.Errorf("%s: no AD: %v", network, m)
					}
				}
			}
			for _, a := range addrs {
				if !slices.Contains(found, a) {
					t.Errorf("%s: %v of %v", network, found, addrs)
				}
			}
			must(t, conn.Close())
		}
	}
}
