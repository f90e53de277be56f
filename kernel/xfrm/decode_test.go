package xfrm

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

func TestParseState(t *testing.T) {
	recorded := vectors(t, "testdata/messages.txt")
	for _, c := range []struct {
		name string
		like kernel.SA
	}{
		{"SA GCM", gcmSA()}, {"SA CBC", cbcSA()}, {"SA CBC again", cbcSA()}, {"SA ChaCha20 ESN", chachaSA()},
	} {
		body := bytes.Clone(recorded[c.name].Body)
		s, err := parseState(body)
		if err != nil || s.larval {
			t.Errorf("%s: larval %v, %v", c.name, s.larval, err)
		}
		want := c.like
		want.EncrKey, want.IntegKey, want.Direction = nil, nil, 0
		if want.Encap != nil { // without a direction the ports are those of an outbound SA
			want.Encap = &kernel.Encap{Local: want.Encap.Remote, Remote: want.Encap.Local}
		}
		want.Soft.Time = want.Soft.Time.Round(time.Second)
		if !reflect.DeepEqual(s.report.SA, want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, show(s.report.SA), show(want))
		}
		if added := s.report.Added; added.Year() != 2026 || s.report.Packets != 0 || !s.report.LastUsed.IsZero() {
			t.Errorf("%s: added %v, %d packets, last used %v", c.name, added, s.report.Packets, s.report.LastUsed)
		}
		if bytes.Contains(body, key16) {
			t.Errorf("%s: the key is still in the message", c.name)
		}
	}
	for _, name := range []string{"SPI", "larval SA"} {
		s, err := parseState(recorded[name].Body)
		if err != nil || !s.larval || s.report.SPI < lowestSPI || s.report.Dst != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("%s: larval %v, %v, %v", name, s.larval, s.report.SAID, err)
		}
	}
}

func show(sa kernel.SA) string {
	type plain kernel.SA // without String
	return fmt.Sprintf("%+v encap %+v", plain(sa), sa.Encap)
}

// TestCounters writes what a kernel counts into a recorded SA.
func TestCounters(t *testing.T) {
	var info stateInfo
	rest, err := decode(vectors(t, "testdata/messages.txt")["SA GCM"].Body, &info)
	if err != nil {
		t.Fatal(err)
	}
	info.Counters = counters{Bytes: 1000, Packets: 10, Added: 1000000, Used: 1000001}
	info.ReplayErr, info.DuplicateErr, info.IntegrityErr = 1, 2, 4
	s, err := parseState(append(encode(info), rest...))
	r := s.report
	if err != nil || r.Bytes != 1000 || r.Packets != 10 || r.ReplayErr != 3 || r.AuthErr != 4 || r.LastUsed != time.Unix(1000001, 0) {
		t.Errorf("%+v, %v", r, err)
	}
	var b netlink.Builder
	b.U64(attrLastUsed, 1000009)
	s, err = parseState(append(encode(info), b.Body()...))
	if err != nil || s.report.LastUsed != time.Unix(1000009, 0) || !s.larval {
		t.Errorf("%+v, %v", s, err)
	}
	if !moment(math.MaxUint64).IsZero() {
		t.Error("a time beyond all times")
	}
	if soft, hard := (limits{SoftAdded: math.MaxUint64, HardBytes: 5}).lifetimes(); soft.Time != 0 || hard.Bytes != 5 {
		t.Error(soft, hard)
	}
}

func TestParsePolicy(t *testing.T) {
	recorded := vectors(t, "testdata/messages.txt")
	for _, c := range []struct {
		name string
		want kernel.Policy
	}{
		{"policy", tunnelPolicy()}, {"policy again", tunnelPolicy()}, {"policy transport", transportPolicy()},
		{"policy use", usePolicy()}, {"policy block", blockPolicy}, {"policy allow", allowPolicy},
	} {
		got, ok, err := parsePolicy(recorded[c.name].Body)
		if err != nil || !ok || got.ID == 0 {
			t.Errorf("%s: %v, %v", c.name, ok, err)
		}
		c.want.ID = got.ID
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
	socket := encode(policyInfo{Direction: 4})
	if _, ok, err := parsePolicy(socket); ok || err != nil {
		t.Errorf("a socket's policy: %v, %v", ok, err)
	}
	unique := tunnelPolicy()
	unique.Templates[0].Level = kernel.Unique
	unique.Lifetime.Time = time.Hour
	m, err := addPolicy(msgNewPolicy, unique, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := parsePolicy(m.Body); err != nil || !reflect.DeepEqual(got, unique) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParseEvent(t *testing.T) {
	recorded := vectors(t, "testdata/messages.txt")
	acquire := kernel.Acquire{
		Policy: 0x21, Template: transportPolicy().Templates[0],
		Packet: selector("192.0.2.1/32", "192.0.2.9/32", 17, kernel.Port(1025)),
	}
	acquire.Packet.SrcPort = kernel.Port(0x9383)
	expire := kernel.Expire{ID: said("192.0.2.3", 0x1010), ReqID: 12}
	gone := kernel.Expire{ID: said("192.0.2.3", 0x1010), ReqID: 12, Hard: true}
	for name, want := range map[string]kernel.Event{
		"event ACQUIRE 1":     acquire,
		"event EXPIRE 1":      expire,
		"event EXPIRE 2":      gone,
		"event DELSA 1":       kernel.Deleted{ID: said("192.0.2.1", 0x1002)},
		"event FLUSHSA 1":     kernel.Flushed{},
		"event FLUSHPOLICY 1": kernel.Resync{},
		"event DELPOLICY 1":   kernel.PolicyDeleted{ID: 0x12, Selector: blockPolicy.Selector, Direction: kernel.Forward},
		"event POLEXPIRE 1":   kernel.PolicyDeleted{ID: 8, Selector: nets, Direction: kernel.In},
		"SA GCM":              nil, // somebody's new SA is nobody's event
	} {
		m, ok := recorded[name]
		if !ok {
			t.Errorf("%s is not recorded", name)
		}
		got, err := parseEvent(m)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", name, got, err, want)
		}
	}
}

// TestParseRareEvents reads what is not recorded, made from the structures.
func TestParseRareEvents(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	mapping := mappingInfo{
		ID: toStateID(kernel.SAID{Dst: a, Proto: kernel.ESP, SPI: 0x1001}), Old: toAddress(b), New: toAddress(a),
		OldPort: toBE16(4500), NewPort: toBE16(1024),
	}
	ah := acquireInfo{ID: id{Proto: uint8(kernel.AH)}}
	ah.Selector, _ = toSelector(selector("10.0.0.0/32", "10.0.1.0/32", 50, kernel.Port(0)))
	for _, c := range []struct {
		m    netlink.Message
		want kernel.Event
	}{
		{request(msgMapping, 0, mapping), kernel.Mapping{
			ID: mapping.ID.said(), Old: netip.AddrPortFrom(b, 4500), New: netip.AddrPortFrom(a, 1024),
		}},
		{request(msgFlushSA, 0, uint8(protoAny)), kernel.Flushed{}},
		{request(msgExpire, 0, expireInfo{Hard: 1}), nil}, // an SA that an Acquire asked for
		{request(msgPolicyExpire, 0, policyExpireInfo{}), nil},
		{request(msgPolicyExpire, 0, policyExpireInfo{Policy: policyInfo{Direction: 4}, Hard: 1}), nil},
		{request(msgAcquire, 0, ah), kernel.Acquire{
			Template: kernel.Template{Proto: kernel.AH},
			Packet:   selector("10.0.0.0/32", "10.0.1.0/32", 50, kernel.AnyPort),
		}},
	} {
		if got, err := parseEvent(c.m); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("type %#x: %+v, %v, want %+v", c.m.Type, got, err, c.want)
		}
	}
}

func TestMalformed(t *testing.T) {
	recorded := vectors(t, "testdata/messages.txt")
	for name, m := range recorded {
		for cut := range len(m.Body) {
			short := m
			short.Body = bytes.Clone(m.Body[:cut])
			read(short)
			if _, err := parseEvent(short); err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, netlink.ErrMalformed) {
				t.Errorf("%s cut at %d: %v", name, cut, err)
			}
		}
	}
	good, _ := toSelector(nets)
	for i, change := range []func(*selectorInfo){
		func(s *selectorInfo) { s.Family = 3 },
		func(s *selectorInfo) { s.SrcBits = 33 },
		func(s *selectorInfo) { s.DstBits = 255 },
		func(s *selectorInfo) { s.SrcPortMask = toBE16(0x00ff) },
		func(s *selectorInfo) { s.DstPortMask = toBE16(0xff0f) },
	} {
		s := good
		change(&s)
		if _, err := s.selector(); !errors.Is(err, ErrMalformed) {
			t.Errorf("row %d: %v", i, err)
		}
	}
	if _, err := fromMode(77); !errors.Is(err, ErrMalformed) {
		t.Error("mode 77 was read")
	}
	if m, err := fromMode(4); m != 0 || err != nil {
		t.Error("BEET is somebody else's")
	}
	if _, err := parseTemplates(make([]byte, 7*64)); !errors.Is(err, ErrMalformed) {
		t.Error("seven templates were read")
	}
}

// TestUpdateState turns recorded SAs into updates.
func TestUpdateState(t *testing.T) {
	recorded := vectors(t, "testdata/messages.txt")
	gcm, cbc, chacha := gcmSA(), cbcSA(), chachaSA()
	for _, c := range []struct {
		name   string
		sa     kernel.SA
		change func(*kernel.SA)
		moved  bool
	}{
		{"SA GCM", gcm, func(sa *kernel.SA) { sa.Hard.Time = time.Hour }, false},
		{"SA GCM", gcm, func(sa *kernel.SA) { sa.Dst = netip.MustParseAddr("198.51.100.1") }, true},
		{"SA GCM", gcm, func(sa *kernel.SA) { sa.Encap = &kernel.Encap{Local: 4500, Remote: 4500} }, true},
		{"SA CBC", cbc, func(sa *kernel.SA) { sa.Encap = &kernel.Encap{Local: 4500, Remote: 1025} }, false},
		{"SA CBC", cbc, func(sa *kernel.SA) { sa.Encap = nil }, true},
		{"SA ChaCha20 ESN", chacha, func(sa *kernel.SA) { sa.Src = netip.MustParseAddr("2001:db8::9") }, true},
	} {
		sa := c.sa
		c.change(&sa)
		sa.EncrKey, sa.IntegKey = nil, nil
		m, moved, err := updateState(recorded[c.name].Body, sa)
		if err != nil || moved != c.moved || (m.Type == msgNewSA) != moved {
			t.Fatalf("%s: type %#x, moved %v, %v", c.name, m.Type, moved, err)
		}
		if !bytes.Contains(m.Body, c.sa.EncrKey) || !bytes.Contains(m.Body, c.sa.IntegKey) {
			t.Errorf("%s: the update lost a key", c.name)
		}
		s, err := parseState(m.Body)
		got := s.report.SA
		if err != nil || got.SAID != sa.SAID || got.Src != sa.Src || got.Hard != sa.Hard || got.Encr != c.sa.Encr ||
			got.Integ != c.sa.Integ || got.ESN != sa.ESN || got.Replay != sa.Replay || (got.Encap == nil) != (sa.Encap == nil) {
			t.Errorf("%s: %s, %v", c.name, show(got), err)
		}
	}
	if _, _, err := updateState([]byte{1}, gcm); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if _, _, err := updateState(append(encode(stateInfo{}), 1), gcm); err == nil {
		t.Error("a broken attribute was taken")
	}
}

func TestSequenceAdvances(t *testing.T) {
	for _, c := range []struct{ from, to uint32 }{{0, seqMargin}, {math.MaxUint32 - 5, math.MaxUint32}} {
		var r replayInfo
		if _, err := decode(advance(attrReplay, encode(replayInfo{OutSeq: c.from, Seq: 7, Bitmap: 3})), &r); err != nil {
			t.Fatal(err)
		}
		if r != (replayInfo{OutSeq: c.to, Seq: 7, Bitmap: 3}) {
			t.Errorf("%+v", r)
		}
	}
	bitmap := []byte{1, 2, 3, 4}
	got := advance(attrReplayESN, append(encode(replayESNInfo{BitmapLen: 1, OutSeq: math.MaxUint32, OutSeqHi: 1}), bitmap...))
	var r replayESNInfo
	rest, err := decode(got, &r)
	if err != nil || r.OutSeqHi != 2 || r.OutSeq != seqMargin-1 || !bytes.Equal(rest, bitmap) {
		t.Errorf("%+v % x %v", r, rest, err)
	}
	if got := advance(attrReplay, []byte{1}); !bytes.Equal(got, []byte{1}) {
		t.Errorf("a short value became % x", got)
	}
	if got := advance(attrAlgCrypt, bitmap); !bytes.Equal(got, bitmap) {
		t.Errorf("an algorithm became % x", got)
	}
}

func TestAlgorithmNamesComeBack(t *testing.T) {
	for _, c := range ciphers {
		if got := encrOf(c.name, c.icv); got != c.encr {
			t.Errorf("%s with %d bits is %d, want %d", c.name, c.icv, got, c.encr)
		}
	}
	for _, m := range macs {
		if got := integOf(m.name, m.icv); got != m.integ {
			t.Errorf("%s with %d bits is %d, want %d", m.name, m.icv, got, m.integ)
		}
	}
	if encrOf("cbc(twofish)", 0) != 0 || integOf("hmac(rmd160)", 96) != transform.AUTH_NONE {
		t.Error("an unknown algorithm has a transform")
	}
}

// read runs every decoder on a message.
func read(m netlink.Message) {
	_, _ = parseEvent(m)
	_, _, _ = parsePolicy(m.Body)
	_, _, _ = updateState(m.Body, kernel.SA{Encap: &kernel.Encap{}})
	_, _ = parseState(bytes.Clone(m.Body))
}

func FuzzMessages(f *testing.F) {
	for _, m := range vectors(f, "testdata/messages.txt") {
		f.Add(m.Type, m.Body)
	}
	for _, m := range vectors(f, "testdata/requests.txt") {
		f.Add(m.Type, m.Body)
	}
	// What no kernel sends: cut short, and fields out of range.
	for name, m := range vectors(f, "testdata/messages.txt") {
		if strings.HasPrefix(name, "event") {
			f.Add(m.Type, m.Body[:min(3, len(m.Body))])
		}
		f.Add(m.Type, append(bytes.Clone(m.Body), 0xff))
	}
	for at, value := range map[int]byte{
		32: 1, 34: 0x0f, 38: 0x0f, 40: 3, 42: 200, 43: 200, 160: 4, 168: 200, 214: 77, 220: 4,
	} {
		for _, name := range []string{"SA CBC", "policy", "policy use"} {
			m := vectors(f, "testdata/messages.txt")[name]
			b := bytes.Clone(m.Body)
			b[at] = value
			f.Add(m.Type, b)
		}
	}
	for _, mode := range []kernel.Mode{kernel.Transport, kernel.Tunnel} {
		p := transportPolicy()
		p.Templates[0].Level, p.Templates[0].Mode = kernel.Unique, mode
		p.Templates[0].Src, p.Templates[0].Dst = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")
		m, err := addPolicy(msgNewPolicy, p, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Type, m.Body)
		at := bytes.LastIndexByte(m.Body, shareUnique) // the mode stands in front of it
		odd := bytes.Clone(m.Body)
		odd[at-1] = 9
		f.Add(m.Type, odd)
	}
	f.Add(uint16(msgMapping), []byte{1})
	f.Add(uint16(msgPolicyExpire), encode(policyExpireInfo{Policy: policyInfo{Direction: 4}, Hard: 1}))
	f.Add(uint16(msgPolicyExpire), encode(policyExpireInfo{}))
	f.Add(uint16(msgExpire), encode(expireInfo{}))
	esp := acquireInfo{}
	esp.Selector, _ = toSelector(selector("10.0.0.0/32", "10.0.1.0/32", 50, kernel.Port(0)))
	f.Add(uint16(msgAcquire), encode(esp))
	f.Add(uint16(msgMapping), encode(mappingInfo{}))
	f.Add(uint16(msgFlushSA), []byte{protoAny})
	f.Fuzz(func(t *testing.T, typ uint16, body []byte) {
		read(netlink.Message{Type: typ, Body: body})
		p, ok, err := parsePolicy(body)
		if err != nil || !ok {
			return
		}
		m, err := addPolicy(msgNewPolicy, p, 0)
		if err != nil {
			return // a policy that this package would not install
		}
		again, ok, err := parsePolicy(m.Body)
		again.ID = p.ID // the kernel gives it
		if err != nil || !ok || !reflect.DeepEqual(again, p) {
			t.Errorf("%+v came back as %+v, %v", p, again, err)
		}
	})
}
