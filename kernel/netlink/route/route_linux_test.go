package route_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel/kerneltest/netlab"
	"racoon2/kernel/netlink/route"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// within runs f in a fresh namespace with a link eth0 (10.9.0.1/24, fd09::1/64).
func within(t *testing.T, f func(t *testing.T, c *route.Conn)) {
	t.Helper()
	lab := netlab.ForTest(t)
	a, err := lab.Namespace("a")
	must(t, err)
	b, err := lab.Namespace("b")
	must(t, err, lab.Join(a, "eth0", b, "eth0"), a.Address("eth0", "10.9.0.1/24", "fd09::1/64"))
	must(t, a.Do(func() error {
		c, err := route.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		f(t, c)
		return nil
	}))
}

func TestLinks(t *testing.T) {
	within(t, func(t *testing.T, c *route.Conn) {
		l, err := c.LinkByName("eth0")
		must(t, err)
		if l.Kind != "veth" || !l.Up || l.MTU != 1500 || len(l.Address) != 6 {
			t.Errorf("link %+v", l)
		}
		must(t, c.SetMTU(l.Index, 1400), c.SetUp(l.Index, false), c.NoLinkLocal(l.Index))
		if l, _ := c.LinkByName("eth0"); l.Up || l.MTU != 1400 {
			t.Errorf("link %+v", l)
		}
		if _, err := c.LinkByName("none"); !errors.Is(err, unix.ENODEV) {
			t.Errorf("a link that is not there: %v", err)
		}
		must(t, c.AddVeth(route.VethEnd{Name: "x", NS: -1}, route.VethEnd{Name: "y", NS: -1}))
		x, err := c.LinkByName("x")
		must(t, err, c.DeleteLink(x.Index))
		if _, err := c.LinkByName("y"); !errors.Is(err, unix.ENODEV) {
			t.Errorf("the other end of a deleted pair: %v", err)
		}
		if err := c.DeleteLink(x.Index); !errors.Is(err, unix.ENODEV) {
			t.Errorf("deleted twice: %v", err)
		}
	})
}

func TestAddresses(t *testing.T) {
	within(t, func(t *testing.T, c *route.Conn) {
		l, err := c.LinkByName("eth0")
		must(t, err)
		for _, s := range []string{"192.0.2.7/28", "2001:db8::7/64"} {
			p := netip.MustParsePrefix(s)
			has := func() bool {
				all, err := c.Addresses()
				must(t, err)
				return slices.Contains(all, route.Address{Link: l.Index, Prefix: p, Usable: true})
			}
			must(t, c.AddAddress(l.Index, p))
			for end := time.Now().Add(2 * time.Second); !has(); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%s is not there", p)
				}
			}
			if err := c.AddAddress(l.Index, p); !errors.Is(err, unix.EEXIST) {
				t.Errorf("%s twice: %v", p, err)
			}
			must(t, c.DeleteAddress(l.Index, p))
			if has() {
				t.Errorf("%s is still there", p)
			}
		}
	})
}

func TestRoutes(t *testing.T) {
	within(t, func(t *testing.T, c *route.Conn) {
		l, err := c.LinkByName("eth0")
		must(t, err)
		const table = 4950
		for _, want := range []route.Route{
			{Dst: netip.MustParsePrefix("10.2.0.0/16"), Kind: route.Unicast, Link: l.Index, Source: netip.MustParseAddr("10.9.0.1"), Table: table, MTU: 1399},
			{Dst: netip.MustParsePrefix("10.3.0.0/16"), Kind: route.Unicast, Link: l.Index, Gateway: netip.MustParseAddr("10.9.0.2"), Table: table, Metric: 7},
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), Kind: route.Unreachable, Table: table, Metric: 4278198272},
			{Dst: netip.MustParsePrefix("10.4.0.0/16"), Kind: route.Throw, Table: table},
			{Dst: netip.MustParsePrefix("fd02::/32"), Kind: route.Unicast, Link: l.Index, Source: netip.MustParseAddr("fd09::1"), Table: table, Metric: 1024, MTU: 1379},
			{Dst: netip.MustParsePrefix("::/0"), Kind: route.Unreachable, Table: table, Metric: 4278198272},
		} {
			must(t, c.AddRoute(want))
			if err := c.AddRoute(want); !errors.Is(err, unix.EEXIST) {
				t.Errorf("%v twice: %v", want, err)
			}
			must(t, c.ReplaceRoute(want))
			routes, err := c.Routes(table)
			must(t, err)
			got := routes
			if want.Kind == route.Unreachable { // an IPv6 one is shown with the loopback
				for i := range got {
					got[i].Link = 0
				}
			}
			if len(routes) != 1 || got[0] != want {
				t.Errorf("%v, want %v", routes, want)
			}
			must(t, c.DeleteRoute(want))
			if err := c.DeleteRoute(want); !errors.Is(err, unix.ESRCH) {
				t.Errorf("%v deleted twice: %v", want, err)
			}
		}
		must(t, c.SetMTU(l.Index, 1300))
		r, err := c.Lookup(netip.MustParseAddr("10.9.0.2"), 0)
		if err != nil || r.Link != l.Index || r.Source != netip.MustParseAddr("10.9.0.1") {
			t.Errorf("look-up: %+v, %v", r, err)
		}
		if _, err := c.Lookup(netip.MustParseAddr("198.51.100.1"), 0x4950); !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("look-up without a route: %v", err)
		}
		if r, err := c.Lookup(netip.MustParseAddr("fd09::1"), 0); err != nil || r.Kind != route.Local {
			t.Errorf("look-up of an own address: %+v, %v", r, err)
		}
	})
}

func TestRules(t *testing.T) {
	within(t, func(t *testing.T, c *route.Conn) {
		all4, all6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
		for _, want := range []route.Rule{
			{Priority: 1001, To: all4, Action: route.Nop},
			{Priority: 999, To: all4, Mark: 0x4950, Action: route.Goto, Target: 1001},
			{Priority: 999, To: all6, Mark: 0x4950, Action: route.Goto, Target: 1001},
			{Priority: 1000, To: netip.MustParsePrefix("10.2.0.0/16"), In: "lo", Table: 4950},
			{Priority: 1000, From: netip.MustParsePrefix("10.1.0.0/24"), To: netip.MustParsePrefix("10.2.0.0/16"), Proto: 17,
				SrcPorts: route.Ports{First: 5, Last: 6}, DstPorts: route.Ports{First: 7, Last: 7}, Table: 4950},
			{Priority: 1000, From: netip.MustParsePrefix("fd01::/64"), To: netip.MustParsePrefix("fd02::/64"), Proto: 6, Table: 4950},
		} {
			must(t, c.AddRule(want))
			if err := c.AddRule(want); !errors.Is(err, unix.EEXIST) {
				t.Errorf("%v twice: %v", want, err)
			}
			rules, err := c.Rules()
			must(t, err)
			if !slices.Contains(rules, want) {
				t.Errorf("%v is not among %v", want, rules)
			}
			must(t, c.DeleteRule(want))
			if err := c.DeleteRule(want); !errors.Is(err, unix.ENOENT) {
				t.Errorf("%v deleted twice: %v", want, err)
			}
		}
	})
}

// A Monitor notices a new address and a new route, but not one of the table
// that it ignores, and Close ends it.
func TestMonitor(t *testing.T) {
	within(t, func(t *testing.T, c *route.Conn) {
		l, err := c.LinkByName("eth0")
		must(t, err)
		m, err := route.Watch()
		must(t, err)
		noticed := make(chan error)
		go func() {
			for {
				err := m.Wait(4950)
				noticed <- err
				if err != nil {
					return
				}
			}
		}()
		drained := func() bool { // late news of the namespace's own beginning
			select {
			case <-noticed:
				return true
			case <-time.After(50 * time.Millisecond):
				return false
			}
		}
		for drained() {
		}
		// Many routes, because the namespace's own late news (duplicate address
		// detection, say) may come in between at any time, but only a few.
		const routes = 100
		for i := range routes {
			dst := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 5, byte(i), 0}), 24)
			must(t, c.AddRoute(route.Route{Dst: dst, Link: l.Index, Table: 4950}))
		}
		news := 0
		for drained() {
			news++
		}
		if news > routes/2 {
			t.Errorf("%d changes were noticed, of %d routes of the ignored table", news, routes)
		}
		must(t, c.AddAddress(l.Index, netip.MustParsePrefix("192.0.2.1/32")))
		wait := func() error {
			select {
			case err := <-noticed:
				return err
			case <-time.After(5 * time.Second):
				return errors.New("nothing noticed")
			}
		}
		must(t, wait(), m.Close())
		for err = wait(); err == nil; err = wait() {
		}
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// Octets that no kernel sends are refused without harm.
func FuzzParse(f *testing.F) {
	attribute := func(typ uint16, value ...byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
		b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
		return append(b, make([]byte, -len(b)&3)...)
	}
	four, sixteen := make([]byte, 4), make([]byte, 16)
	link := append(make([]byte, unix.SizeofIfInfomsg), slices.Concat(
		attribute(unix.IFLA_IFNAME, 'a', 0), attribute(unix.IFLA_MTU, four...), attribute(unix.IFLA_ADDRESS, 1, 2, 3, 4, 5, 6),
		attribute(unix.IFLA_LINKINFO, attribute(unix.IFLA_INFO_KIND, 'v', 0)...))...)
	addr4 := append(make([]byte, unix.SizeofIfAddrmsg), slices.Concat(
		attribute(unix.IFA_LOCAL, four...), attribute(unix.IFA_ADDRESS, four...), attribute(unix.IFA_FLAGS, four...))...)
	addr6 := append(make([]byte, unix.SizeofIfAddrmsg), attribute(unix.IFA_ADDRESS, sixteen...)...)
	route4 := append(make([]byte, unix.SizeofRtMsg), slices.Concat(
		attribute(unix.RTA_DST, four...), attribute(unix.RTA_GATEWAY, four...), attribute(unix.RTA_OIF, four...),
		attribute(unix.RTA_PREFSRC, four...), attribute(unix.RTA_TABLE, four...), attribute(unix.RTA_PRIORITY, four...),
		attribute(unix.RTA_METRICS, attribute(unix.RTAX_MTU, four...)...))...)
	route4[0] = unix.AF_INET
	rule4 := append(make([]byte, 12), slices.Concat(
		attribute(unix.FRA_DST, four...), attribute(unix.FRA_SRC, four...), attribute(unix.FRA_PRIORITY, four...),
		attribute(unix.FRA_TABLE, four...), attribute(unix.FRA_GOTO, four...), attribute(unix.FRA_FWMARK, four...),
		attribute(unix.FRA_IIFNAME, 'l', 'o', 0), attribute(unix.FRA_IP_PROTO, 17),
		attribute(unix.FRA_SPORT_RANGE, four...), attribute(unix.FRA_DPORT_RANGE, 1))...)
	rule4[0], rule4[7] = unix.AF_INET, unix.FR_ACT_GOTO
	rule6 := slices.Clone(rule4)
	rule6[0], rule6[7] = unix.AF_INET6, unix.FR_ACT_TO_TBL
	for typ, body := range map[uint16][]byte{unix.RTM_NEWLINK: link, unix.RTM_NEWROUTE: route4, unix.RTM_NEWRULE: rule4} {
		f.Add(typ, body)
		f.Add(typ, body[:len(body)-3])
		f.Add(typ, []byte{1})
	}
	f.Add(uint16(unix.RTM_NEWADDR), addr4)
	f.Add(uint16(unix.RTM_NEWADDR), addr6)
	f.Add(uint16(unix.RTM_NEWRULE), rule6)
	f.Fuzz(func(t *testing.T, typ uint16, body []byte) {
		route.ParseAny(typ, body)
	})
}
