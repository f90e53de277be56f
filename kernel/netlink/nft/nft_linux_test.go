package nft_test

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel/kerneltest/netlab"
	"racoon2/kernel/netlink"
	"racoon2/kernel/netlink/nft"
)

const table nft.Table = "nft-test"

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// pair is a and b on one link, and a Conn to b's nf_tables.
func pair(t *testing.T) (a, b *netlab.NS, c *nft.Conn) {
	t.Helper()
	lab := netlab.ForTest(t)
	a, err := lab.Namespace("a")
	must(t, err)
	b, err = lab.Namespace("b")
	must(t, err, lab.Join(a, "eth0", b, "eth0"),
		b.Address("eth0", "10.9.0.2/24", "fd09::2/64"),
		b.Do(func() (err error) { c, err = nft.Dial(); return err }))
	t.Cleanup(func() { c.Close() })
	must(t, c.Probe())
	return a, b, c
}

func input(c *nft.Conn, rules ...nft.Rule) error {
	var b nft.Batch
	b.AddTable(table)
	b.AddChain(nft.Chain{Table: table, Name: "input", Hook: nft.Input, Priority: nft.PriorityFilter})
	b.FlushChain(table, "input")
	for _, r := range rules {
		r.Table, r.Chain = table, "input"
		b.AddRule(r)
	}
	return c.Commit(&b)
}

// Every match counts the packets that it should and no others.
func TestMatches(t *testing.T) {
	a, b, c := pair(t)
	p := netip.MustParsePrefix
	v4, v6 := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")
	to4, to6 := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("fd09::2")
	packets := map[string][]byte{
		"udp4":  netlab.UDPPacket(v4, to4, 1000, 2000, []byte("x")),
		"udp6":  netlab.UDPPacket(v6, to6, 1000, 2000, []byte("x")),
		"echo4": netlab.EchoPacket(v4, to4, 8),
		"echo6": netlab.EchoPacket(v6, to6, 8),
		"esp4":  netlab.IPPacket(v4, to4, unix.IPPROTO_ESP, make([]byte, 40)),
	}
	tests := []struct {
		name  string
		match nft.Expr
		want  []string
	}{
		{"source host", nft.Source(p("10.9.0.1/32")), []string{"echo4", "esp4", "udp4"}},
		{"source net", nft.Source(p("10.9.0.0/25")), []string{"echo4", "esp4", "udp4"}},
		{"any IPv4", nft.Source(p("0.0.0.0/0")), []string{"echo4", "esp4", "udp4"}},
		{"another net", nft.Source(p("10.8.0.0/15").Masked()), []string{"echo4", "esp4", "udp4"}},
		{"not the net", nft.Source(p("10.10.0.0/15")), nil},
		{"IPv6 destination host", nft.Destination(p("fd09::2/128")), []string{"echo6", "udp6"}},
		{"IPv6 destination net", nft.Destination(p("fd09::/61")), []string{"echo6", "udp6"}},
		{"any IPv6", nft.Destination(p("::/0")), []string{"echo6", "udp6"}},
		{"UDP", nft.Proto(unix.IPPROTO_UDP), []string{"udp4", "udp6"}},
		{"ESP", nft.Proto(unix.IPPROTO_ESP), []string{"esp4"}},
		{"port", slices.Concat(nft.Proto(unix.IPPROTO_UDP), nft.DestinationPort(2000, 2000)), []string{"udp4", "udp6"}},
		{"ports", slices.Concat(nft.Proto(unix.IPPROTO_UDP), nft.SourcePort(255, 1000)), []string{"udp4", "udp6"}},
		{"ports above", slices.Concat(nft.Proto(unix.IPPROTO_UDP), nft.SourcePort(1001, 65535)), nil},
		{"ICMP type", slices.Concat(nft.Proto(unix.IPPROTO_ICMP), nft.ICMPType(8, 8), nft.ICMPCode(0, 3)), []string{"echo4"}},
		{"ICMPv6 types", slices.Concat(nft.Proto(unix.IPPROTO_ICMPV6), nft.ICMPType(120, 129)), []string{"echo6"}},
		{"ICMP code", slices.Concat(nft.Proto(unix.IPPROTO_ICMP), nft.ICMPCode(1, 255)), nil},
		{"interface", nft.InInterface("eth0"), []string{"echo4", "echo6", "esp4", "udp4", "udp6"}},
		{"another interface", nft.InInterface("eth"), nil},
		{"mark", nft.Mark(7), nil},
	}
	var rules []nft.Rule
	for _, c := range tests {
		rules = append(rules, nft.Rule{Tag: c.name, Exprs: []nft.Expr{c.match, nft.Counter()}})
	}
	rules = append(rules,
		nft.Rule{Exprs: []nft.Expr{nft.SetMark(7)}},
		nft.Rule{Tag: "after SetMark", Exprs: []nft.Expr{nft.Mark(7), nft.Counter()}},
		nft.Rule{Exprs: []nft.Expr{nft.Proto(unix.IPPROTO_UDP), nft.Accept()}},
		nft.Rule{Tag: "after Accept", Exprs: []nft.Expr{nft.Counter(), nft.Drop()}},
		nft.Rule{Tag: "after Drop", Exprs: []nft.Expr{nft.Counter()}})
	for name, packet := range packets {
		must(t, input(c, rules...), a.InjectIP("eth0", b, "eth0", packet))
		marked := func() uint64 { return counted(t, c)["after SetMark"] }
		for end := time.Now().Add(5 * time.Second); marked() == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		got := counted(t, c)
		for _, c := range tests {
			if want := slices.Contains(c.want, name); (got[c.name] == 1) != want {
				t.Errorf("%s: %s counted %d times, want %v", name, c.name, got[c.name], want)
			}
		}
		udp := strings.HasPrefix(name, "udp")
		if got["after SetMark"] != 1 || (got["after Accept"] == 0) != udp || got["after Drop"] != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// counted is what the rules with tags counted, but for neighbour discovery.
func counted(t *testing.T, c *nft.Conn) map[string]uint64 {
	t.Helper()
	rules, err := c.Rules(table, "input")
	must(t, err)
	m := map[string]uint64{}
	for _, r := range rules {
		if r.Tag != "" {
			m[r.Tag] = r.Packets
		}
	}
	return m
}

// Rules are added at their place and deleted one by one.
func TestOrder(t *testing.T) {
	_, _, c := pair(t)
	tags := func() (s []string, handles map[string]uint64) {
		rules, err := c.Rules(table, "input")
		must(t, err)
		handles = map[string]uint64{}
		for _, r := range rules {
			s = append(s, r.Tag+"/"+r.Comment)
			handles[r.Tag] = r.Handle
		}
		return s, handles
	}
	must(t, input(c, nft.Rule{Tag: "b", Comment: "two", Exprs: []nft.Expr{nft.Accept()}}))
	_, handles := tags()
	var b nft.Batch
	b.AddRule(nft.Rule{Table: table, Chain: "input", Tag: "a", Before: handles["b"], Exprs: []nft.Expr{nft.Counter()}})
	b.AddRule(nft.Rule{Table: table, Chain: "input", Tag: "c", Exprs: []nft.Expr{nft.Drop()}})
	if b.Len() != 2 {
		t.Errorf("the batch has %d changes", b.Len())
	}
	must(t, c.Commit(&b))
	got, handles := tags()
	if !slices.Equal(got, []string{"a/", "b/two", "c/"}) {
		t.Errorf("rules %q", got)
	}
	b = nft.Batch{}
	b.DeleteRule(table, "input", handles["b"])
	must(t, c.Commit(&b))
	if got, _ := tags(); !slices.Equal(got, []string{"a/", "c/"}) {
		t.Errorf("rules %q", got)
	}
}

// A batch takes effect as a whole or not at all.
func TestBatchIsAtomic(t *testing.T) {
	_, _, c := pair(t)
	var b nft.Batch
	b.AddTable(table)
	b.AddChain(nft.Chain{Table: table, Name: "input", Hook: nft.Input})
	b.DeleteChain(table, "no such chain")
	var refused *netlink.Error
	if err := c.Commit(&b); !errors.As(err, &refused) || !errors.Is(err, unix.ENOENT) || refused.Index != 2 {
		t.Errorf("error %v", err)
	}
	if chains, err := c.Chains(table); err != nil || len(chains) != 0 {
		t.Errorf("chains %v, %v", chains, err)
	}
	if rules, err := c.Rules(table, "input"); err != nil || len(rules) != 0 {
		t.Errorf("rules of no chain: %v, %v", rules, err)
	}
	b = nft.Batch{}
	b.AddTable(table)
	b.AddChain(nft.Chain{Table: table, Name: "input", Hook: nft.Input})
	must(t, c.Commit(&b))
	if chains, err := c.Chains(table); err != nil || !slices.Equal(chains, []string{"input"}) {
		t.Errorf("chains %v, %v", chains, err)
	}
	b = nft.Batch{}
	b.DeleteTable(table)
	must(t, c.Commit(&b))
	if chains, err := c.Chains(table); err != nil || len(chains) != 0 {
		t.Errorf("chains %v, %v", chains, err)
	}
}

// Has knows what a kernel lacks, and leaves nothing behind.
func TestHas(t *testing.T) {
	_, _, c := pair(t)
	must(t, c.Has(nft.SocketMark(7), table))
	if err := c.Has(nft.Unknown, table); !errors.Is(err, unix.ENOENT) {
		t.Errorf("an unknown expression: %v", err)
	}
	if chains, err := c.Chains(table); err != nil || len(chains) != 0 {
		t.Errorf("chains %v, %v", chains, err)
	}
}

func FuzzParseRule(f *testing.F) {
	var counter, rule netlink.Builder
	counter.Nested(unix.NFTA_LIST_ELEM, func(b *netlink.Builder) {
		b.String(unix.NFTA_EXPR_NAME, "counter")
		b.Nested(unix.NFTA_EXPR_DATA, func(b *netlink.Builder) {
			b.BE64(unix.NFTA_COUNTER_PACKETS, 5)
			b.BE64(unix.NFTA_COUNTER_BYTES, 6)
		})
	})
	counter.Nested(unix.NFTA_LIST_ELEM, func(b *netlink.Builder) {
		b.String(unix.NFTA_EXPR_NAME, "cmp")
		b.Nested(unix.NFTA_EXPR_DATA, func(*netlink.Builder) {})
	})
	rule.Raw([]byte{1, 0, 0, 0})
	rule.BE64(unix.NFTA_RULE_HANDLE, 9)
	rule.Octets(unix.NFTA_RULE_EXPRESSIONS, counter.Body())
	rule.Octets(unix.NFTA_RULE_USERDATA, nft.AppendUserData(nil, "tag", "comment"))
	got, ok := nft.Parse(rule.Body())
	if want := (nft.Listed{Handle: 9, Tag: "tag", Comment: "comment", Packets: 5, Bytes: 6}); !ok || got != want {
		f.Fatalf("%+v, want %+v", got, want)
	}
	f.Add(rule.Body())
	f.Add(rule.Body()[:20])
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		nft.Parse(b)
		tag, comment := nft.ParseUserData(b)
		again, also := nft.ParseUserData(nft.AppendUserData(nil, tag, comment))
		if len(tag) < 100 && len(comment) < 100 && (again != tag || also != comment) {
			t.Errorf("%q, %q became %q, %q", tag, comment, again, also)
		}
	})
}

func TestUserData(t *testing.T) {
	long := strings.Repeat("x", 500)
	b := nft.AppendUserData(nil, long, long)
	if tag, comment := nft.ParseUserData(b); len(b) > 256 || !strings.HasPrefix(long, tag) || tag != comment {
		t.Errorf("%d octets, tag %q, comment %q", len(b), tag, comment)
	}
	if tag, comment := nft.ParseUserData(bytes.Repeat([]byte{0}, 3)); tag != "" || comment != "" {
		t.Errorf("%q, %q", tag, comment)
	}
}
