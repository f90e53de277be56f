package kerberos

import (
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Ticket flags (RFC 4120 §5.3).
const (
	flagInvalid          = 1 << (31 - 7)
	flagTransitedChecked = 1 << (31 - 12)
)

// address types (RFC 4120 §7.5.3).
const (
	addressIPv4 = 2
	addressIPv6 = 24
)

// ticketPart is what KINK needs of an EncTicketPart (RFC 4120 §5.3).
type ticketPart struct {
	flags     uint32
	key       *Key
	client    Principal
	transited bool // the list of realms on the way is not empty
	start     time.Time
	end       time.Time
	bound     bool // to addresses
	addresses []netip.Addr
}

func decodeTicketPart(octets []byte) (ticketPart, error) {
	var t ticketPart
	d := application("EncTicketPart", tagEncTicketPart, octets, true)
	t.flags = d.flags(0, "flags")
	t.key = d.sessionKey(1, "key")
	t.client.Realm = d.text(2, "crealm")
	t.client.Name = d.name(3, "cname")
	path := sequence("transited", d.field(4, "transited"))
	path.number(0, "tr-type")
	t.transited = len(path.octets(1, "contents")) != 0
	d.take(path)
	t.start = d.time(5, "authtime")
	if d.has(6) {
		t.start = d.time(6, "starttime")
	}
	t.end = d.time(7, "endtime")
	d.skip(8)
	if d.has(9) {
		t.bound = true
		d.addresses(9, &t.addresses)
	}
	d.authorization(10)
	if d.err == nil {
		d.err = t.client.check()
	}
	return t, d.err
}

// addresses reads HostAddresses (RFC 4120 §5.2.5). What is no IP address is left out:
// nothing that arrives over IP can match it.
func (d *decoder) addresses(n int, out *[]netip.Addr) {
	d.each(n, "caddr", 64, func(s cryptobyte.String) {
		inner := sequence("caddr", s)
		kind := inner.number(0, "addr-type")
		octets := inner.octets(1, "address")
		d.take(inner)
		addr, ok := netip.AddrFromSlice(octets)
		if ok && (kind == addressIPv4 && addr.Is4() || kind == addressIPv6 && addr.Is6()) {
			*out = append(*out, addr.Unmap())
		}
	})
}

// apRepPart is an EncAPRepPart (RFC 4120 §5.5.2) without subkey and sequence number.
type apRepPart struct {
	time time.Time // ctime and cusec of the authenticator
}

func decodeAPRepPart(octets []byte) (apRepPart, error) {
	var p apRepPart
	d := application("EncAPRepPart", tagEncAPRepPart, octets, true)
	ctime := d.time(0, "ctime")
	p.time = ctime.Add(d.microseconds(1, "cusec"))
	d.skip(2)
	d.skip(3)
	return p, d.err
}

func (p apRepPart) encode() ([]byte, error) {
	return encode(tagEncAPRepPart, func(e encoder) {
		e.time(0, p.time)
		e.microseconds(1, p.time)
	})
}

// decodeAPRep reads an AP-REP (RFC 4120 §5.5.2).
func decodeAPRep(octets []byte) (encryptedData, error) {
	if len(octets) > maxMessage {
		return encryptedData{}, errTooLong
	}
	d := application("AP-REP", tagAPRep, octets, false)
	if v := d.integer(0, "pvno"); v != version {
		d.failf("pvno is %d, not 5", v)
	}
	if v := d.integer(1, "msg-type"); v != tagAPRep {
		d.failf("msg-type is %d, not 15", v)
	}
	part := d.encrypted(2, "enc-part")
	return part, d.err
}

func encodeAPRep(part encryptedData) ([]byte, error) {
	return encode(tagAPRep, func(e encoder) {
		e.integer(0, version)
		e.integer(1, tagAPRep)
		e.encrypted(2, part)
	})
}
