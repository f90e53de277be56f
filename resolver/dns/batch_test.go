package dns

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// Many questions that wait together all get their own answers: what the cache
// knows, what it does not, and what is nonsense.
func TestManyAtOnce(t *testing.T) {
	z := newZone(t, "127.0.0.1", "www.example.com. 60 IN A 192.0.2.1", "other.example.com. 60 IN A 192.0.2.2")
	r := newRig(t, Config{}, resolver.Settings{Upstreams: []resolver.Upstream{{Addr: z.addr}}}, "127.0.0.1")
	r.ask("udp", "www.example.com.", mdns.TypeA)
	var conns []*net.UDPConn
	for range 3 {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.addr))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	const each = 60
	names := []string{"www.example.com.", "wWw.eXample.com.", "other.example.com.", "none.example.com.", `a\.b.example.com.`}
	for i := range uint16(each) {
		for n, c := range conns {
			m := new(mdns.Msg).SetQuestion(names[(int(i)+n)%len(names)], mdns.TypeA)
			m.Id = i
			packed, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if i%7 == 3 {
				packed = packed[:13] // cut short
			}
			if _, err := c.Write(packed); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n, c := range conns {
		var seen []uint16
		buf := make([]byte, 1500)
		for len(seen) < each {
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			size, err := c.Read(buf)
			if err != nil {
				t.Fatalf("%d answers: %v", len(seen), err)
			}
			id := binary.BigEndian.Uint16(buf)
			if slices.Contains(seen, id) {
				t.Fatalf("two answers to %d", id)
			}
			seen = append(seen, id)
			m := new(mdns.Msg)
			if err := m.Unpack(buf[:size]); err != nil {
				t.Fatal(err)
			}
			want := names[(int(id)+n)%len(names)]
			switch {
			case id%7 == 3:
				if m.Rcode != mdns.RcodeFormatError {
					t.Errorf("%d: %s", id, mdns.RcodeToString[m.Rcode])
				}
			case m.Question[0].Name != want:
				t.Errorf("%d is about %s, want %s", id, m.Question[0].Name, want)
			case len(m.Answer) > 0 && m.Answer[0].Header().Name != want && m.Answer[0].Header().Name != m.Question[0].Name:
				t.Errorf("%d has an answer about %s", id, m.Answer[0].Header().Name)
			}
		}
	}
}

// A reader's table gives the same names as the careful way, and none that needs
// more care.
func TestNameTable(t *testing.T) {
	var table nameTable
	for name, plain := range map[string]bool{
		"www.example.com.": true, "A-b_C.9.": true, `a\.b.example.`: false, `\255.x.`: false, "*.x.": false, ".": false,
	} {
		msg, err := new(mdns.Msg).SetQuestion(name, mdns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		var careful, quick query
		for range 2 {
			careful.parse(msg, nil)
			quick.parse(msg, &table)
			if careful.question != quick.question || careful.question.Name == "" {
				t.Errorf("%s: %q and %q", name, careful.question.Name, quick.question.Name)
			}
		}
		end, _ := plainName(msg, headerSize)
		if _, ok := table.find(msg[headerSize:end]); ok != plain {
			t.Errorf("%s: found %v", name, ok)
		}
	}
	for i := range 3 * maxKnown {
		name := []byte{4, byte('a' + i%26), byte('a' + i/26%26), byte('a' + i/676%26), byte('a' + i/17576%26), 0}
		if _, ok := table.find(name); !ok || len(table.known) > maxKnown {
			t.Fatal(i, len(table.known))
		}
	}
	if n := testing.AllocsPerRun(100, func() { table.find([]byte("\x03www\x07example\x03com\x00")) }); n > 1 {
		t.Errorf("%v allocations for a known name", n)
	}
}
