package dns

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// zone is a DNS server on loopback that answers from a table.
type zone struct {
	addr netip.AddrPort

	mu      sync.Mutex
	records map[string][]mdns.RR // by "name type"
	asked   []mdns.Msg
	tcp     int
	answer  func(w mdns.ResponseWriter, q *mdns.Msg) bool // in place of the table; true: done
}

// rr parses a record.
func rr(t testing.TB, text string) mdns.RR {
	t.Helper()
	r, err := mdns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newZone starts a server on host, "127.0.0.1" or "::1", UDP and TCP on the
// same port.
func newZone(t testing.TB, host string, records ...string) *zone {
	t.Helper()
	z := &zone{records: make(map[string][]mdns.RR)}
	z.set(t, records...)
	pc, l := bindBoth(t, host)
	z.addr = pc.LocalAddr().(*net.UDPAddr).AddrPort()
	serve(t, &mdns.Server{PacketConn: pc, Handler: z})
	serve(t, &mdns.Server{Listener: l, Handler: z})
	return z
}

// bindBoth finds a port that is free on UDP and TCP.
func bindBoth(t testing.TB, host string) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 100 {
		// Below those that the system gives to other tests' connections meanwhile.
		pc, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(10000+rand.IntN(20000))))
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, l
		}
		pc.Close()
	}
	t.Fatal("no port is free on UDP and TCP")
	return nil, nil
}

func serve(t testing.TB, s *mdns.Server) {
	t.Helper()
	started := make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ActivateAndServe() // ends with the test
	}()
	<-started
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-ended
	})
}

// set replaces the records of the names and types given.
func (z *zone) set(t testing.TB, records ...string) {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	fresh := make(map[string][]mdns.RR)
	for _, text := range records {
		r := rr(t, text)
		key := r.Header().Name + " " + mdns.TypeToString[r.Header().Rrtype]
		fresh[key] = append(fresh[key], r)
	}
	for key, list := range fresh {
		z.records[key] = list
	}
}

// handle answers by a function from now on.
func (z *zone) handle(f func(w mdns.ResponseWriter, q *mdns.Msg) bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.answer = f
}

// count is how many questions of a name and type have come.
func (z *zone) count(name string, kind uint16) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	n := 0
	for _, m := range z.asked {
		if mdns.CanonicalName(m.Question[0].Name) == name && m.Question[0].Qtype == kind {
			n++
		}
	}
	return n
}

func (z *zone) ServeDNS(w mdns.ResponseWriter, q *mdns.Msg) {
	z.mu.Lock()
	z.asked = append(z.asked, *q)
	custom := z.answer
	if w.LocalAddr().Network() == "tcp" {
		z.tcp++
	}
	z.mu.Unlock()
	if custom != nil && custom(w, q) {
		return
	}
	m := new(mdns.Msg).SetReply(q)
	m.RecursionAvailable = true
	m.Compress = true
	name, kind := mdns.CanonicalName(q.Question[0].Name), mdns.TypeToString[q.Question[0].Qtype]
	z.mu.Lock()
	for range 16 {
		m.Answer = append(m.Answer, z.records[name+" "+kind]...)
		alias := z.records[name+" CNAME"]
		if len(alias) == 0 || kind == "CNAME" {
			break
		}
		m.Answer = append(m.Answer, alias...)
		name = alias[0].(*mdns.CNAME).Target
	}
	z.mu.Unlock()
	if len(m.Answer) == 0 {
		m.Rcode = mdns.RcodeNameError
		m.Ns = []mdns.RR{&mdns.SOA{
			Hdr: mdns.RR_Header{Name: "example.com.", Rrtype: mdns.TypeSOA, Class: mdns.ClassINET, Ttl: 60},
			Ns:  "ns.example.com.", Mbox: "root.example.com.", Minttl: 60,
		}}
	}
	if w.LocalAddr().Network() == "udp" {
		size := mdns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
			m.SetEdns0(mdns.DefaultMsgSize, opt.Do())
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m)
}

// rig is a proxy on loopback with its clients.
type rig struct {
	t       testing.TB
	proxy   *Proxy
	addr    netip.AddrPort
	changes chan resolver.NamesChanged
}

// newRig starts a proxy that asks the servers, with an address to listen on of
// host.
func newRig(t testing.TB, c Config, s resolver.Settings, host string, watch ...string) *rig {
	t.Helper()
	r := &rig{t: t, changes: make(chan resolver.NamesChanged, 64)}
	c.Notify = func(e resolver.Effect) {
		switch e := e.(type) {
		case resolver.NamesChanged:
			select {
			case r.changes <- e:
			default:
			}
		case resolver.Trace:
			if testing.Verbose() {
				t.Log(e.Event.Tag, e.Event.Text, e.Event.Attrs)
			}
		}
	}
	r.proxy = New(c)
	t.Cleanup(r.proxy.Close)
	r.proxy.Input(resolver.Reconfigure{Settings: &s})
	pc, l := bindBoth(t, host)
	r.addr = pc.LocalAddr().(*net.UDPAddr).AddrPort()
	pc.Close()
	l.Close()
	if err := r.proxy.Listen([]netip.AddrPort{r.addr}); err != nil {
		t.Fatal(err)
	}
	if watch != nil {
		r.proxy.Input(resolver.Watch{Set: "policy", Names: watch, Gated: true})
	}
	return r
}

// ask puts a question; edit changes it before it goes.
func (r *rig) ask(network, name string, kind uint16, edit ...func(*mdns.Msg)) *mdns.Msg {
	r.t.Helper()
	m, err := r.exchange(network, name, kind, edit...)
	if err != nil {
		r.t.Fatalf("%s %s over %s: %v", name, mdns.TypeToString[kind], network, err)
	}
	return m
}

func (r *rig) exchange(network, name string, kind uint16, edit ...func(*mdns.Msg)) (*mdns.Msg, error) {
	q := new(mdns.Msg).SetQuestion(name, kind)
	for _, e := range edit {
		e(q)
	}
	c := mdns.Client{Net: network, Timeout: 8 * time.Second, UDPSize: mdns.DefaultMsgSize}
	m, _, err := c.Exchange(q, r.addr.String())
	return m, err
}

// change waits for the next NamesChanged that has all these addresses.
func (r *rig) change(addrs ...string) resolver.NamesChanged {
	r.t.Helper()
	deadline := time.After(8 * time.Second)
	for {
		select {
		case c := <-r.changes:
			if fmt.Sprint(c.Addresses) == fmt.Sprint(addrs) {
				return c
			}
		case <-deadline:
			r.t.Fatalf("no change to %v", addrs)
		}
	}
}

// answers are the addresses and targets of an answer.
func answers(m *mdns.Msg) string {
	var out []string
	for _, r := range m.Answer {
		switch r := r.(type) {
		case *mdns.A:
			out = append(out, r.A.String())
		case *mdns.AAAA:
			out = append(out, r.AAAA.String())
		case *mdns.CNAME:
			out = append(out, r.Target)
		case *mdns.PTR:
			out = append(out, r.Ptr)
		}
	}
	return fmt.Sprint(out)
}

func upstreamsOf(zones ...*zone) []resolver.Upstream {
	var out []resolver.Upstream
	for _, z := range zones {
		out = append(out, resolver.Upstream{Addr: z.addr, Trusted: true})
	}
	return out
}
