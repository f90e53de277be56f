package kerberos

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// A credential cache is MIT's FILE format, versions 3 and 4, big-endian. This reader is
// ours: gokrb5's allocates by counts that it reads from the file, which ends a process
// without memory where no recover helps; slices by lengths from it; refuses a header with any
// field but one; and takes times for signed, so that a ticket that ends after January
// 2038 ended in 1901. To check all that before would be to read the whole file twice.

const (
	maxCCache        = 4 << 20
	maxCCacheTickets = 1024
)

// cachedCredential is one ticket of a cache with its key.
type cachedCredential struct {
	client, server Principal
	key            *Key
	start, end     time.Time
	ticket         []byte
}

// ccache is what a file has: the principal that it belongs to, and its tickets.
type ccache struct {
	client      Principal
	credentials []cachedCredential
}

var errCCache = errors.New("the credential cache is cut off or malformed")

// decodeCCache reads a cache. Entries that are no tickets (configuration, unknown
// encryption types) are left out.
func decodeCCache(octets []byte) (ccache, error) {
	var out ccache
	s := cryptobyte.String(octets)
	var format uint16
	if len(octets) > maxCCache {
		return out, fmt.Errorf("a credential cache of %d octets is too long", len(octets))
	}
	if !s.ReadUint16(&format) || format != 0x0503 && format != 0x0504 {
		return out, errors.New("not a credential cache of version 3 or 4: it does not begin with 05 03 or 05 04")
	}
	if format == 0x0504 {
		var header []byte
		if !readCounted(&s, &header) {
			return out, errCCache
		}
	}
	var ok bool
	if out.client, ok = cachePrincipal(&s); !ok {
		return out, errCCache
	}
	for n := 0; !s.Empty(); n++ {
		if n == maxCCacheTickets {
			return out, fmt.Errorf("the credential cache has more than %d tickets", maxCCacheTickets)
		}
		c, ok := cacheCredential(&s, format == 0x0503)
		if !ok {
			return out, errCCache
		}
		if c.key != nil && c.client.Equal(out.client) {
			out.credentials = append(out.credentials, c)
		}
	}
	return out, nil
}

func cacheCredential(s *cryptobyte.String, twice bool) (cachedCredential, bool) {
	var c cachedCredential
	var ok bool
	if c.client, ok = cachePrincipal(s); !ok {
		return c, false
	}
	if c.server, ok = cachePrincipal(s); !ok {
		return c, false
	}
	var etype uint16
	var value []byte
	ok = s.ReadUint16(&etype) && (!twice || s.Skip(2)) && longCounted(s, &value)
	var times [4]uint32 // authtime, starttime, endtime, renew-till
	for i := range times {
		ok = ok && s.ReadUint32(&times[i])
	}
	ok = ok && s.Skip(1) /* is_skey */ && s.Skip(4)         /* flags */
	ok = ok && cacheList(s) /* addresses */ && cacheList(s) /* authdata */
	var second []byte
	ok = ok && longCounted(s, &c.ticket) && longCounted(s, &second)
	if !ok {
		return c, false
	}
	c.start, c.end = time.Unix(int64(times[1]), 0).UTC(), time.Unix(int64(times[2]), 0).UTC()
	if times[1] == 0 {
		c.start = time.Unix(int64(times[0]), 0).UTC()
	}
	// A type that is not known, and an entry that keeps a setting, has no key.
	if key, err := NewKey(EType(int16(etype)), value); err == nil {
		c.key = key
	}
	return c, true
}

// cachePrincipal reads a name. An entry that keeps a setting has names that no
// principal has; they are read all the same.
func cachePrincipal(s *cryptobyte.String) (Principal, bool) {
	var p Principal
	var kind, components uint32
	var realm []byte
	if !s.ReadUint32(&kind) || !s.ReadUint32(&components) || components > maxComponents || !longCounted(s, &realm) {
		return p, false
	}
	p.Realm = string(realm)
	for range components {
		var c []byte
		if !longCounted(s, &c) {
			return p, false
		}
		p.Name = append(p.Name, string(c))
	}
	return p, true
}

func readCounted(s *cryptobyte.String, out *[]byte) bool {
	var n uint16
	return s.ReadUint16(&n) && s.ReadBytes(out, int(n))
}

func longCounted(s *cryptobyte.String, out *[]byte) bool {
	var n uint32
	return s.ReadUint32(&n) && uint64(n) <= uint64(len(*s)) && s.ReadBytes(out, int(n))
}

// cacheList passes over a list of typed octets.
func cacheList(s *cryptobyte.String) bool {
	var n uint32
	if !s.ReadUint32(&n) || uint64(n)*6 > uint64(len(*s)) {
		return false
	}
	for range n {
		var v []byte
		if !s.Skip(2) || !longCounted(s, &v) {
			return false
		}
	}
	return true
}

// tgt is the ticket-granting ticket of the cache's own realm.
func (c ccache) tgt() (cachedCredential, bool) {
	want := tgs(c.client.Realm, c.client.Realm)
	var best cachedCredential
	for _, v := range c.credentials {
		if v.server.Equal(want) && (best.key == nil || v.end.After(best.end)) {
			best = v
		}
	}
	return best, best.key != nil
}
