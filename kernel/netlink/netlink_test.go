package netlink

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"syscall"
	"testing"
)

// linkRequest is what "ip link show lo" of iproute2 6.1 sent on linux/amd64
// under strace -xx, with the sequence number set to 0: an RTM_GETLINK request
// with IFLA_EXT_MASK and IFLA_IFNAME.
const linkRequest = "30000000" + "1200" + "0100" + "00000000" + "00000000" + // header
	"0000" + "0000" + "00000000" + "00000000" + "00000000" + // struct ifinfomsg
	"08001d00" + "09000000" + // IFLA_EXT_MASK
	"07000300" + "6c6f0000" // IFLA_IFNAME "lo"

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func littleEndian(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the vector is of a little-endian processor")
	}
}

func TestBuilderMatchesIproute2(t *testing.T) {
	littleEndian(t)
	var b Builder
	b.Raw(make([]byte, 16))
	b.U32(29, 9)
	b.String(3, "lo")
	got := AppendMessage(nil, Message{Type: 18, Flags: FlagRequest, Body: b.Body()})
	want := unhex(t, linkRequest)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestAttributesRoundTrip(t *testing.T) {
	var b Builder
	b.Flag(1)
	b.U8(2, 0xfe)
	b.U16(3, 0xfedc)
	b.U32(4, 0xfedcba98)
	b.U64(5, 0xfedcba9876543210)
	b.BE16(6, 0x0102)
	b.BE32(7, 0x01020304)
	b.BE64(8, 0x0102030405060708)
	b.String(9, "inet")
	b.Nested(10, func(b *Builder) {
		b.Octets(1, []byte{1, 2, 3})
		b.Nested(2, func(b *Builder) { b.U8(3, 4) })
	})
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	a := ParseAttributes(b.Body())
	seen := 0
	for a.Next() {
		seen++
		ok := true
		switch a.Type() {
		case 1:
			ok = len(a.Octets()) == 0
		case 2:
			ok = a.U8() == 0xfe
		case 3:
			ok = a.U16() == 0xfedc
		case 4:
			ok = a.U32() == 0xfedcba98
		case 5:
			ok = a.U64() == 0xfedcba9876543210
		case 6:
			ok = a.BE16() == 0x0102
		case 7:
			ok = a.BE32() == 0x01020304 && bytes.Equal(a.Octets(), []byte{1, 2, 3, 4})
		case 8:
			ok = a.BE64() == 0x0102030405060708
		case 9:
			ok = a.String() == "inet"
		case 10:
			n := a.Nested()
			ok = n.Next() && bytes.Equal(n.Octets(), []byte{1, 2, 3}) && n.Next() && n.Type() == 2
			inner := n.Nested()
			ok = ok && inner.Next() && inner.U8() == 4 && !n.Next() && n.Err() == nil
		}
		if !ok {
			t.Errorf("attribute %d reads wrong: %x", a.Type(), a.Octets())
		}
	}
	if a.Err() != nil || seen != 10 {
		t.Errorf("saw %d attributes, error %v", seen, a.Err())
	}
}

func TestBuilderTooLong(t *testing.T) {
	var b Builder
	b.Octets(7, make([]byte, 65532))
	if b.Err() == nil || b.Body() != nil {
		t.Error("an attribute of 65536 octets was taken")
	}
	b = Builder{}
	b.Nested(7, func(b *Builder) {
		b.Octets(1, make([]byte, 40000))
		b.Octets(1, make([]byte, 40000))
	})
	if b.Err() == nil || b.Body() != nil {
		t.Error("a nest of 80000 octets was taken")
	}
	b = Builder{}
	b.Octets(7, make([]byte, 65531))
	if b.Err() != nil {
		t.Error(b.Err())
	}
}

func TestAttributesRefuse(t *testing.T) {
	for name, in := range map[string][]byte{
		"half a header":     {8, 0},
		"length below 4":    {3, 0, 1, 0},
		"length beyond end": {9, 0, 1, 0, 1, 2, 3, 4},
	} {
		a := ParseAttributes(in)
		if a.Next() || !errors.Is(a.Err(), ErrMalformed) {
			t.Errorf("%s: %v", name, a.Err())
		}
	}
	reads := []func(*Attributes) bool{
		func(a *Attributes) bool { return a.U8() == 0 },
		func(a *Attributes) bool { return a.U16() == 0 },
		func(a *Attributes) bool { return a.U32() == 0 },
		func(a *Attributes) bool { return a.U64() == 0 },
		func(a *Attributes) bool { return a.BE16() == 0 },
		func(a *Attributes) bool { return a.BE32() == 0 },
		func(a *Attributes) bool { return a.BE64() == 0 },
	}
	for i, read := range reads {
		var b Builder
		b.Octets(1, []byte{1, 2, 3})
		b.Flag(2)
		a := ParseAttributes(b.Body())
		if !a.Next() || !read(a) || a.Next() || !errors.Is(a.Err(), ErrMalformed) {
			t.Errorf("reader %d: a value of three octets was taken: %v", i, a.Err())
		}
	}
}

func TestParseMessages(t *testing.T) {
	one := AppendMessage(nil, Message{Type: 16, Seq: 7, Body: []byte{1, 2, 3, 4, 5}})
	two := AppendMessage(one, Message{Type: 17, PID: 9})
	if len(one) != 24 || len(two) != 40 {
		t.Fatalf("lengths %d and %d", len(one), len(two))
	}
	got, err := ParseMessages(two)
	if err != nil || len(got) != 2 || got[0].Seq != 7 || len(got[0].Body) != 5 || got[1].PID != 9 {
		t.Errorf("%+v, %v", got, err)
	}
	for cut := 1; cut < len(two); cut++ {
		if cut == len(one) || cut >= len(one)-3 && cut < len(one) {
			continue // only padding is missing, or nothing
		}
		if _, err := ParseMessages(two[:cut]); !errors.Is(err, ErrMalformed) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

// refusal is an acknowledgement with an error number and the kernel's words.
func refusal(errno int32, capped bool, text string) Message {
	request := AppendMessage(nil, Message{Type: 16, Seq: 1, Body: []byte("some request")})
	m := Message{Type: TypeError, Seq: 1, Flags: flagAckTLVs}
	if capped {
		m.Flags |= flagCapped
		request = request[:HeaderLen]
	}
	m.Body = binary.NativeEndian.AppendUint32(nil, uint32(errno))
	m.Body = append(m.Body, request...)
	var b Builder
	b.U32(2, 12) // the offending attribute's offset
	b.String(attributeAckText, text)
	m.Body = append(m.Body, b.Body()...)
	return m
}

func TestParseAck(t *testing.T) {
	for _, capped := range []bool{false, true} {
		err := ParseAck(refusal(-int32(syscall.EEXIST), capped, "Device exists"))
		refused, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, syscall.EEXIST) || refused.Text != "Device exists" {
			t.Errorf("capped %v: %v", capped, err)
		} else if !strings.Contains(err.Error(), "Device exists (") {
			t.Errorf("error reads %q", err)
		}
	}
	plain := Message{Type: TypeError, Body: refusal(-1, true, "").Body[:20]}
	if err := ParseAck(plain); !errors.Is(err, syscall.EPERM) || err.Error() != syscall.EPERM.Error() {
		t.Errorf("without attributes: %v", err)
	}
	if err := ParseAck(Message{Type: TypeError, Body: make([]byte, 20)}); err != nil {
		t.Errorf("acknowledgement: %v", err)
	}
	if err := ParseAck(Message{Type: TypeDone}); err != nil {
		t.Errorf("end of a dump without a number: %v", err)
	}
	for name, m := range map[string]Message{
		"short":           {Type: TypeError, Body: []byte{1}},
		"positive number": {Type: TypeError, Body: []byte{1, 1, 1, 1}},
	} {
		if err := ParseAck(m); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseMessages(f *testing.F) {
	f.Add(AppendMessage(nil, refusal(-2, true, "No such file")))
	f.Add(AppendMessage(nil, refusal(-2, false, "No such file")))
	f.Add(AppendMessage(nil, Message{Type: TypeDone, Flags: FlagMulti}))
	f.Add(AppendMessage(nil, Message{Type: TypeError, Flags: flagAckTLVs, Body: []byte{0xfe, 0xff, 0xff, 0xff}}))
	f.Add(AppendMessage(nil, Message{Type: 16, Body: []byte{9, 0, 1, 0, 1}}))
	f.Add([]byte{1, 2, 3})
	f.Add(AppendMessage(AppendMessage(nil, Message{Type: 3}), Message{Type: 16, Body: []byte{5, 0, 1, 0, 1, 0, 0, 0, 5, 0}}))
	f.Add(AppendMessage(nil, Message{Type: TypeError, Body: []byte{1, 1, 1, 1}}))
	f.Add(AppendMessage(nil, Message{Type: TypeError, Body: []byte{1}}))
	f.Add(AppendMessage(nil, Message{Type: TypeDone}))
	f.Add(AppendMessage(nil, Message{Type: TypeError, Flags: flagAckTLVs, Body: append([]byte{0xfe, 0xff, 0xff, 0xff}, make([]byte, 20)...)}))
	var numbers Builder
	numbers.U8(1, 1)
	numbers.U16(2, 1)
	numbers.U32(3, 1)
	numbers.U64(4, 1)
	numbers.Flag(5)
	f.Add(AppendMessage(nil, Message{Type: 16, Body: numbers.Body()}))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, _ := ParseMessages(b)
		for _, m := range messages {
			_ = ParseAck(m)
			for a := ParseAttributes(m.Body); a.Next(); {
				switch len(a.Octets()) { // a wrong length would end the walk
				case 1:
					_ = a.U8()
				case 2:
					_, _ = a.U16(), a.BE16()
				case 4:
					_, _ = a.U32(), a.BE32()
				case 8:
					_, _ = a.U64(), a.BE64()
				case 0:
					_, _, _, _ = a.U8(), a.U16(), a.U32(), a.U64()
					_, _, _ = a.BE16(), a.BE32(), a.BE64()
				}
				for n := a.Nested(); n.Next(); {
					_ = n.String()
				}
			}
			again, err := ParseMessages(AppendMessage(nil, m))
			if err != nil || len(again) != 1 || !bytes.Equal(again[0].Body, m.Body) {
				t.Errorf("%+v does not survive: %v", m, err)
			}
		}
	})
}
