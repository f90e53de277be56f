package xfrm

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// What is encoded of SAs with other protocols and bindings is read back.
func TestStatesReadBack(t *testing.T) {
	offloaded := gcmSA()
	offloaded.Offload = kernel.OffloadPacket
	marked := gcmSA()
	marked.Binding = bound
	for name, sa := range map[string]kernel.SA{
		"AH": ahSA(), "AH IPv6": ahSA6(), "IPComp": compSA(), "bound": marked, "offloaded": offloaded,
	} {
		m, err := addState(msgNewSA, sa, 5)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseState(m.Body)
		want := sa
		want.EncrKey, want.IntegKey, want.Direction = nil, nil, 0
		if err != nil || s.larval || !reflect.DeepEqual(s.report.SA, want) {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, show(s.report.SA), show(want))
		}
		if wants := map[bool]int{true: 5}[sa.Offload != kernel.NoOffload]; s.device != wants {
			t.Errorf("%s: device %d", name, s.device)
		}
	}
}

// The selector of a transport SA inside a bundle may be of the tunnel's family,
// which the kernel refuses.
func TestSelectorOfAnotherFamily(t *testing.T) {
	sa := gcmSA()
	sa.Mode, sa.Selector = kernel.Transport, selector("fd01::/64", "fd02::/64", 0, kernel.AnyPort)
	m, err := addState(msgNewSA, sa, 0)
	if err != nil {
		t.Fatal(err)
	}
	var info stateInfo
	if _, err := decode(m.Body, &info); err != nil || info.Flags&flagAFUnspec == 0 || info.Selector != (selectorInfo{}) {
		t.Errorf("%+v, %v", info, err)
	}
}

// Bundles come back as they were, whatever the kernel wants of IPComp's level.
func TestPoliciesReadBack(t *testing.T) {
	use := bundlePolicy()
	for i := range use.Templates {
		use.Templates[i].Level = kernel.Use
	}
	out := bundlePolicy()
	out.Direction, out.Binding, out.Set = kernel.Out, bound, kernel.Mark{}
	out.Binding.Set = kernel.Mark{}
	mixed := bundlePolicy()
	mixed.Selector = selector("fd01::/64", "fd02::/64", 0, kernel.AnyPort)
	for name, p := range map[string]kernel.Policy{"in": bundlePolicy(), "use": use, "out": out, "v6 in v4": mixed} {
		m, err := addPolicy(msgNewPolicy, p, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := parsePolicy(m.Body)
		if err != nil || !ok || !reflect.DeepEqual(got, p) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, p)
		}
		templates := attribute(m.Body[binary.Size(policyInfo{}):], attrTemplates)
		var x templateInfo
		rest, err := decode(templates, &x)
		if optional := x.Optional != 0; err != nil || optional != (p.Direction != kernel.Out) {
			t.Errorf("%s: IPComp is optional: %v, %v", name, optional, err)
		}
		for len(rest) > 0 {
			if rest, err = decode(rest, &x); err != nil || x.Family != familyIPv4 {
				t.Errorf("%s: family %d of a template around the tunnel, %v", name, x.Family, err)
			}
		}
	}
}

// attribute finds an attribute's value.
func attribute(b []byte, typ uint16) []byte {
	for a := netlink.ParseAttributes(b); a.Next(); {
		if a.Type() == typ {
			return a.Octets()
		}
	}
	return nil
}

func migration() kernel.Migrate {
	return kernel.Migrate{
		Selector: nets, Direction: kernel.Out, Proto: kernel.ESP, Mode: kernel.Tunnel, ReqID: 7,
		OldSrc: netip.MustParseAddr("192.0.2.1"), OldDst: netip.MustParseAddr("192.0.2.2"),
		NewSrc: netip.MustParseAddr("2001:db8::1"), NewDst: netip.MustParseAddr("2001:db8::2"),
		Encap: &kernel.Encap{Local: 4500, Remote: 4501}, Binding: kernel.Binding{IfID: 9},
	}
}

// iproute2 makes no such message: the octets are by struct xfrm_user_migrate.
func TestMigrateMessage(t *testing.T) {
	m, err := migratePolicy(migration())
	if err != nil || m.Type != msgMigrate {
		t.Fatal(m.Type, err)
	}
	var name policyID
	rest, err := decode(m.Body, &name)
	if err != nil || name.Direction != dirOut {
		t.Errorf("%+v, %v", name, err)
	}
	want := slices.Concat(
		unhex("c0000202000000000000000000000000"), unhex("c0000201000000000000000000000000"),
		unhex("20010db8000000000000000000000002"), unhex("20010db8000000000000000000000001"),
		[]byte{50, 1, 0, 0})
	want = binary.NativeEndian.AppendUint32(want, 7)
	want = binary.NativeEndian.AppendUint16(want, familyIPv4)
	want = binary.NativeEndian.AppendUint16(want, familyIPv6)
	if got := attribute(rest, attrMigrate); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	var e encapInfo
	if _, err := decode(attribute(rest, attrEncap), &e); err != nil || e.SrcPort.value() != 4500 || e.DstPort.value() != 4501 {
		t.Errorf("%+v, %v", e, err)
	}
	if got := attribute(rest, attrIfID); len(got) != 4 || binary.NativeEndian.Uint32(got) != 9 {
		t.Errorf("if_id %x", got)
	}
	for i, change := range []func(*kernel.Migrate){
		func(m *kernel.Migrate) { m.Selector = kernel.Selector{} },
		func(m *kernel.Migrate) { m.Direction = 0 },
		func(m *kernel.Migrate) { m.Mode = 0 },
	} {
		m := migration()
		change(&m)
		if _, err := migratePolicy(m); err == nil {
			t.Errorf("row %d was encoded", i)
		}
	}
}

func TestMoveTemplates(t *testing.T) {
	m := migration()
	p := tunnelPolicy()
	if !m.MoveTemplates(p.Templates) || p.Templates[0].Src != m.NewSrc || p.Templates[0].Dst != m.NewDst {
		t.Errorf("%+v", p.Templates)
	}
	if m.MoveTemplates(p.Templates) {
		t.Error("moved twice")
	}
	m.Mode = kernel.Transport
	p = transportPolicy()
	m.ReqID = 0
	if !m.MoveTemplates(p.Templates) || p.Templates[0] != transportPolicy().Templates[0] {
		t.Errorf("%+v", p.Templates)
	}
}

// A moved SA keeps its binding, its algorithm and what it counted.
func TestUpdateKeepsBinding(t *testing.T) {
	sa := compSA()
	sa.Binding = bound
	m, err := addState(msgNewSA, sa, 0)
	if err != nil {
		t.Fatal(err)
	}
	var info stateInfo
	rest, err := decode(m.Body, &info)
	if err != nil {
		t.Fatal(err)
	}
	info.Counters = counters{Bytes: 4711, Packets: 42, Added: 1, Used: 2}
	sa.Dst = netip.MustParseAddr("192.0.2.77")
	update, moved, err := updateState(append(encode(info), rest...), sa)
	if err != nil || !moved {
		t.Fatal(moved, err)
	}
	s, err := parseState(slices.Clone(update.Body))
	if err != nil || s.report.Binding != bound || s.report.Comp != transform.COMP_DEFLATE || s.report.Dst != sa.Dst {
		t.Errorf("%+v, %v", s.report.SA, err)
	}
	var c counters
	if _, err := decode(attribute(update.Body[binary.Size(info):], attrCounters), &c); err != nil || c != info.Counters {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestEventsHaveBindings(t *testing.T) {
	var b netlink.Builder
	selector, _ := toPolicySelector(nets)
	b.Raw(encode(policyID{Selector: selector, Index: 9, Direction: dirOut}))
	addNames(&b, bound)
	e, err := parseEvent(netlink.Message{Type: msgDelPolicy, Body: b.Body()})
	want := kernel.PolicyDeleted{ID: 9, Selector: nets, Direction: kernel.Out, Binding: bound.Names()}
	if err != nil || e != want {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err := parseEvent(netlink.Message{Type: msgMigrate}); err != nil || e != (kernel.Resync{}) {
		t.Errorf("%+v, %v", e, err)
	}
	var short netlink.Builder
	short.Raw(encode(policyID{Selector: selector}))
	short.Octets(attrMark, []byte{1, 2, 3})
	if _, err := parseEvent(netlink.Message{Type: msgDelPolicy, Body: short.Body()}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}
