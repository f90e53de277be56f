package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// forgeries is how many forged answers TestForgedAnswers sends.
const forgeries = 100_000

// forger makes wrong answers to one question.
type forger struct {
	rng  *rand.Rand
	q    *mdns.Msg
	kind int
}

// poison is the address that no forged answer may bring in.
const poison = "192.0.2.66"

// next makes the next forged answer: wrong in its ID, its letters, its name, its
// type, or as a question.
func (f *forger) next(t testing.TB) []byte {
	t.Helper()
	m := new(mdns.Msg).SetReply(f.q)
	m.RecursionAvailable = true
	m.Answer = []mdns.RR{poisoned(f.q.Question[0].Name)}
	m.Question = []mdns.Question{f.q.Question[0]}
	f.kind++
	switch f.kind % 5 {
	case 0: // the right letters, and a wrong ID
		m.Id = f.q.Id ^ uint16(1+f.rng.IntN(0xffff))
	case 1: // a wrong ID and other letters
		m.Id = f.q.Id ^ uint16(1+f.rng.IntN(0xffff))
		m.Question[0].Name = mdns.CanonicalName(f.q.Question[0].Name)
	case 2: // the right ID, and another name
		m.Question[0].Name = "www.example.net."
	case 3: // another type
		m.Question[0].Qtype = mdns.TypeAAAA
	case 4: // a question
		m.Response = false
	}
	octets, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

func poisoned(name string) mdns.RR {
	head := mdns.RR_Header{Name: name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 86400}
	return &mdns.A{Hdr: head, A: net.ParseIP(poison)}
}

// TestForgedAnswers has a forger who sees every question and sends 100,000 wrong
// answers to the right port, ahead of the right one: with wrong IDs, letters,
// names and types; and others who know all but send from another address.
func TestForgedAnswers(t *testing.T) {
	const questions = 100
	z := newZone(t, "127.0.0.1")
	elsewhere, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	samePort, err := net.ListenPacket("udp", "127.0.0.3:"+portOf(z.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer samePort.Close()
	var sent atomic.Int64
	floods := make(chan struct{}, questions)
	z.handle(func(w mdns.ResponseWriter, q *mdns.Msg) bool {
		if w.LocalAddr().Network() == "tcp" || q.Question[0].Qtype != mdns.TypeA {
			return false
		}
		defer func() { floods <- struct{}{} }()
		f := forger{rng: rand.New(rand.NewPCG(uint64(q.Id), 1)), q: q}
		// Everything is right in these, but where they come from.
		exact := new(mdns.Msg).SetReply(q)
		exact.Answer = []mdns.RR{poisoned(q.Question[0].Name)}
		octets, err := exact.Pack()
		if err != nil {
			t.Error(err)
			return true
		}
		for i := range forgeries / questions {
			switch i % 10 {
			case 0:
				_, err = elsewhere.WriteTo(octets, w.RemoteAddr())
			case 1:
				_, err = samePort.WriteTo(octets, w.RemoteAddr())
			default:
				_, err = w.Write(f.next(t))
			}
			if err == nil {
				sent.Add(1)
			}
		}
		return true // the right answer over UDP never comes
	})
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z), AttemptTimeout: 20 * time.Second}, "127.0.0.1")
	r.proxy.Input(resolver.Watch{Set: "spmif", Names: []string{"*.example.com"}})
	for i := range questions {
		name := fmt.Sprintf("n%d.example.com.", i)
		z.set(t, name+" 60 IN A 192.0.2.1")
		if got := answers(r.ask("udp", name, mdns.TypeA)); got != "[192.0.2.1]" {
			t.Fatalf("the client got %s", got)
		}
		<-floods
	}
	if n := sent.Load(); n < forgeries*99/100 {
		t.Errorf("only %d forged answers could be sent", n)
	}
	if n := r.proxy.Counters()["dns_answer_forged"]; n == 0 || n > questions*maxForged {
		t.Errorf("%d forged answers were counted", n)
	}
	if err := r.proxy.Look(func(core *resolver.Resolver, _ time.Time) {
		if names := core.Names(netip.MustParseAddr(poison)); len(names) > 0 {
			t.Errorf("%s is taken for %v", poison, names)
		}
	}); err != nil {
		t.Error(err)
	}
}

func portOf(a netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// TestForgedAnswersMatch holds 100,000 forged answers against a question, and
// one right one.
func TestForgedAnswersMatch(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	a, err := newAsked(rng, resolver.Question{Name: "www.example.com.", Type: mdns.TypeA}, false)
	if err != nil {
		t.Fatal(err)
	}
	var q mdns.Msg
	if err := q.Unpack(a.msg); err != nil {
		t.Fatal(err)
	}
	f := forger{rng: rand.New(rng), q: &q}
	var forged [5][]byte
	for i := range forged {
		forged[i] = f.next(t)
	}
	for i := range forgeries {
		msg := forged[i%5]
		if k := i % 5; k == 0 || k == 4 { // those with a wrong ID, as next numbers them
			binary.BigEndian.PutUint16(msg, q.Id^uint16(1+f.rng.IntN(0xffff)))
		}
		if got := a.match(msg); got != foreign {
			t.Fatalf("forged answer %d is %d", i, got)
		}
	}
	for range 1000 { // the right ID, and letters by chance
		m := new(mdns.Msg).SetReply(&q)
		name := []byte("www.example.com.")
		for i := range name {
			if 'a' <= name[i] && name[i] <= 'z' && f.rng.IntN(2) == 0 {
				name[i] -= 'a' - 'A'
			}
		}
		m.Question = []mdns.Question{{Name: string(name), Qtype: mdns.TypeA, Qclass: mdns.ClassINET}}
		octets, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := a.match(octets); got == fitting && string(name) != q.Question[0].Name {
			t.Fatalf("%s is taken for %s", name, q.Question[0].Name)
		}
	}
	m := new(mdns.Msg).SetReply(&q)
	octets, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if a.match(octets) != fitting {
		t.Error("the right answer is not taken")
	}
}

// TestLettersLost is a server that does not keep letters: the question goes over
// TCP, where it is safe without them.
func TestLettersLost(t *testing.T) {
	z := newZone(t, "127.0.0.1", "www.example.com. 60 IN A 192.0.2.1")
	z.handle(func(w mdns.ResponseWriter, q *mdns.Msg) bool {
		q.Question[0].Name = mdns.CanonicalName(q.Question[0].Name)
		return false
	})
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z)}, "127.0.0.1")
	if got := answers(r.ask("udp", "www.example.com.", mdns.TypeA)); got != "[192.0.2.1]" {
		t.Errorf("got %s", got)
	}
}

// TestEveryQuestionDiffers looks at ports, IDs and letters of many questions.
func TestEveryQuestionDiffers(t *testing.T) {
	const questions = 200
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	p := New(Config{})
	defer p.Close()
	server := pc.LocalAddr().(*net.UDPAddr).AddrPort()
	ports, ids, names := map[int]bool{}, map[uint16]bool{}, map[string]bool{}
	buf := make([]byte, maxQuery)
	for range questions {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, err := p.upstream.ask(ctx, resolver.Upstream{Addr: server}, resolver.Question{Name: "www.example.com.", Type: mdns.TypeA})
			if err == nil {
				t.Error("an answer out of nothing")
			}
		}()
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		<-ended
		var m mdns.Msg
		if err := m.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		ports[from.(*net.UDPAddr).Port] = true
		ids[m.Id] = true
		names[m.Question[0].Name] = true
	}
	// 200 of 64,512 ports, 65,536 IDs and 8,192 spellings meet each other rarely.
	for what, n := range map[string]int{"ports": len(ports), "IDs": len(ids), "spellings": len(names)} {
		if n < questions*9/10 {
			t.Errorf("%d %s among %d questions", n, what, questions)
		}
	}
}
