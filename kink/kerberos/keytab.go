package kerberos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	lib "github.com/jcmturner/gokrb5/v8/keytab"
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
// out, others are kept even if no policy uses them. The frames are found here, and
// gokrb5 reads one entry at a time.
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

// oneEntry is a keytab file with one entry, for gokrb5. Its errors print the octets
// that they are about, keys among them: unmarshal drops them.
type oneEntry struct{ *lib.Keytab }

func (o oneEntry) Unmarshal(entry []byte) error {
	file := binary.BigEndian.AppendUint32([]byte{5, 2}, uint32(len(entry)))
	file = append(file, entry...)
	defer clear(file)
	return o.Keytab.Unmarshal(file)
}

// decodeKeytabEntry gives an entry without key for an unknown encryption type.
func decodeKeytabEntry(entry []byte) (keytabEntry, error) {
	var e keytabEntry
	one := oneEntry{lib.New()}
	if err := unmarshal("it", one, entry); err != nil {
		return e, err
	}
	if len(one.Entries) != 1 {
		return e, errors.New("it is malformed")
	}
	v := one.Entries[0]
	defer clear(v.Key.KeyValue)
	// gokrb5 goes on behind a name that it could not read: what it says to have read
	// must be what is there.
	size := 2 + 2 + len(v.Principal.Realm) + 4 + 4 + 1 + 2 + 2 + len(v.Key.KeyValue)
	for _, c := range v.Principal.Components {
		size += 2 + len(c)
	}
	if int(v.Principal.NumComponents) != len(v.Principal.Components) || size > len(entry) {
		return e, errors.New("its name is cut off")
	}
	e.principal = Principal{Name: v.Principal.Components, Realm: v.Principal.Realm}
	if err := e.principal.check(); err != nil {
		return e, err
	}
	// The version in 32 bits stands at the end, where it is known.
	e.kvno, e.low8 = v.KVNO, true
	if rest := entry[size:]; len(rest) >= 4 && binary.BigEndian.Uint32(rest) != 0 {
		e.low8 = false
	}
	if EType(v.Key.KeyType).suite() == nil {
		return e, nil
	}
	var err error
	e.key, err = NewKey(EType(v.Key.KeyType), v.Key.KeyValue)
	return e, err
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
