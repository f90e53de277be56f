package kerberos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// A keytab is MIT's file format, version 2: 05 02, then entries with a 32-bit length
// each; a negative length is a hole.

const (
	maxKeytab        = 1 << 20 // octets of a file
	maxKeytabEntries = 4096
)

// keytabEntry is one key of a service.
type keytabEntry struct {
	principal Principal
	kvno      uint32
	low8      bool // only the low eight bits of kvno are known
	key       *Key
}

// keytab is the keys of a file.
type keytab []keytabEntry

// decodeKeytab reads a keytab. Keys of types that this package does not have are left
// out, others are kept even if no policy uses them.
func decodeKeytab(octets []byte) (keytab, error) {
	s := cryptobyte.String(octets)
	var format uint16
	if len(octets) > maxKeytab {
		return nil, fmt.Errorf("a keytab of %d octets is too long", len(octets))
	}
	if !s.ReadUint16(&format) || format != 0x0502 {
		return nil, errors.New("not a keytab: it does not begin with 05 02")
	}
	var out keytab
	for n := 1; len(s) >= 4; n++ {
		var size uint32
		s.ReadUint32(&size)
		length, hole := int64(int32(size)), false
		if length < 0 {
			length, hole = -length, true
		}
		if length == 0 { // the rest was never written
			break
		}
		var entry []byte
		if length > int64(len(s)) || !s.ReadBytes(&entry, int(length)) {
			return nil, fmt.Errorf("entry %d of the keytab is cut off", n)
		}
		if hole {
			continue
		}
		if len(out) == maxKeytabEntries {
			return nil, fmt.Errorf("the keytab has more than %d keys", maxKeytabEntries)
		}
		e, err := decodeKeytabEntry(entry)
		if err != nil {
			return nil, fmt.Errorf("entry %d of the keytab: %w", n, err)
		}
		if e.key != nil {
			out = append(out, e)
		}
	}
	return out, nil
}

// decodeKeytabEntry gives an entry without key for an unknown encryption type.
func decodeKeytabEntry(s cryptobyte.String) (keytabEntry, error) {
	var e keytabEntry
	var components, etype uint16
	var value []byte
	var kvno8 uint8
	errShort := errors.New("it is too short")
	if !s.ReadUint16(&components) || components > maxComponents {
		return e, errors.New("it has no name, or one with too many components")
	}
	ok := counted(&s, &e.principal.Realm)
	e.principal.Name = make([]string, components)
	for i := range e.principal.Name {
		ok = ok && counted(&s, &e.principal.Name[i])
	}
	ok = ok && s.Skip(4) /* name type */ && s.Skip(4) /* time */ && s.ReadUint8(&kvno8)
	if !ok || !s.ReadUint16(&etype) || !readCounted(&s, &value) {
		return e, errShort
	}
	e.kvno, e.low8 = uint32(kvno8), true
	if len(s) >= 4 {
		if v := binary.BigEndian.Uint32(s); v != 0 {
			e.kvno, e.low8 = v, false
		}
	}
	if err := e.principal.check(); err != nil {
		return e, err
	}
	if EType(etype).suite() == nil {
		return e, nil
	}
	var err error
	e.key, err = NewKey(EType(etype), value)
	return e, err
}

func readCounted(s *cryptobyte.String, out *[]byte) bool {
	var n uint16
	return s.ReadUint16(&n) && s.ReadBytes(out, int(n))
}

func counted(s *cryptobyte.String, out *string) bool {
	var v []byte
	if !readCounted(s, &v) {
		return false
	}
	*out = string(v)
	return true
}

func (e keytabEntry) matches(kvno uint32) bool {
	return e.kvno == kvno || e.low8 && e.kvno == kvno&0xFF
}

// keys of a principal and type, the newest first.
func (k keytab) keys(p Principal, etype EType) []keytabEntry {
	var out []keytabEntry
	for _, e := range k {
		if e.key.etype == etype && e.principal.Equal(p) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b keytabEntry) int { return int(int64(b.kvno) - int64(a.kvno)) })
	return out
}

// kvnos are the versions of a principal's keys, for explanations.
func (k keytab) kvnos(p Principal) []uint32 {
	var out []uint32
	for _, e := range k {
		if e.principal.Equal(p) && !slices.Contains(out, e.kvno) {
			out = append(out, e.kvno)
		}
	}
	slices.Sort(out)
	return out
}

// etypes are those of the principal's keys that are in allowed, in its order.
func (k keytab) etypes(p Principal, allowed []EType) []EType {
	var out []EType
	for _, t := range allowed {
		if len(k.keys(p, t)) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// wipe forgets the keys.
func (k keytab) wipe() {
	for _, e := range k {
		e.key.wipe()
	}
}
