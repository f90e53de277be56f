package message

import "encoding/binary"

// DecodeHeader reads the IKE header (RFC 7296 §3.1). It judges neither the version
// nor the length field, so that a message of a higher major version can be
// answered with INVALID_MAJOR_VERSION. Reserved flags are dropped.
func DecodeHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, &SyntaxError{What: "the datagram is shorter than an IKE header"}
	}
	return Header{
		SPIi:        binary.BigEndian.Uint64(b),
		SPIr:        binary.BigEndian.Uint64(b[8:]),
		NextPayload: PayloadType(b[16]),
		Major:       b[17] >> 4,
		Minor:       b[17] & 0x0f,
		Exchange:    ExchangeType(b[18]),
		Flags:       Flags(b[19]) & knownFlags,
		MessageID:   binary.BigEndian.Uint32(b[20:]),
		Length:      binary.BigEndian.Uint32(b[24:]),
	}, nil
}

// Decode reads a whole message, which b must be exactly, up to an SK or SKF
// payload. Its error is a *SyntaxError. The payloads alias b.
func Decode(b []byte) (*Message, error) {
	h, err := DecodeHeader(b)
	if err != nil {
		return nil, err
	}
	c := cursor{b: b, off: HeaderLen, end: len(b)}
	switch {
	case h.Major != majorVersion:
		c.fail(17, "major version is %d, want %d", h.Major, majorVersion)
	case len(b) > MaxLen:
		c.fail(0, "%d octets are more than %d", len(b), MaxLen)
	case uint64(h.Length) != uint64(len(b)):
		c.fail(24, "length field says %d octets, but there are %d", h.Length, len(b))
	}
	m := &Message{Header: h, Payloads: c.chain(h.NextPayload, true)}
	if c.err != nil {
		return nil, c.err
	}
	return m, nil
}

// DecodePayloads reads the chain of payloads that begins with type first and
// fills b, as it stands inside an SK payload. Its error is a *SyntaxError. The
// payloads alias b.
func DecodePayloads(first PayloadType, b []byte) ([]Payload, error) {
	c := cursor{b: b, end: len(b)}
	payloads := c.chain(first, false)
	if c.err != nil {
		return nil, c.err
	}
	return payloads, nil
}

// chain reads payloads until one says that none follows. Encrypted payloads are
// the last of a message (RFC 7296 §3.14, RFC 7383 §2.5) and, outer being false,
// never stand inside another.
func (c *cursor) chain(next PayloadType, outer bool) []Payload {
	var list []Payload
	for next != NoNextPayload && c.err == nil {
		kind, start := next, c.off
		c.payload = kind
		next = PayloadType(c.u8("payload header"))
		critical := c.u8("payload header")&0x80 != 0
		length := int(c.u16("payload header"))
		encrypted := kind == PayloadSK || kind == PayloadSKF
		switch {
		case len(list) == MaxPayloads:
			c.fail(start, "more than %d payloads", MaxPayloads)
		case length < 4:
			c.fail(start+2, "length is %d octets, less than the payload's header", length)
		case encrypted && !outer:
			c.fail(start, "an encrypted payload stands inside another")
		}
		c.within(length-4, "the payload", func() {
			switch kind {
			case PayloadSK:
				list = append(list, &Encrypted{First: next, Body: c.rest()})
			case PayloadSKF:
				list = append(list, c.fragment(next))
			default:
				list = append(list, c.body(kind, critical))
			}
		})
		if encrypted {
			next = NoNextPayload
		}
	}
	c.payload = NoNextPayload
	if c.left() > 0 {
		c.fail(c.off, "%d octets follow the last payload", c.left())
	}
	return list
}

// body reads what follows the generic header.
func (c *cursor) body(kind PayloadType, critical bool) Payload {
	switch kind {
	case PayloadSA:
		return c.sa()
	case PayloadKE:
		return c.ke()
	case PayloadIDi, PayloadIDr:
		return c.id(kind == PayloadIDi)
	case PayloadCERT:
		return &Cert{Encoding: c.u8("certificate encoding"), Data: c.rest()}
	case PayloadCERTREQ:
		return &CertReq{Encoding: c.u8("certificate encoding"), Data: c.rest()}
	case PayloadAUTH:
		return c.auth()
	case PayloadNonce:
		return c.nonce()
	case PayloadNotify:
		return c.notify()
	case PayloadDelete:
		return c.delete()
	case PayloadVendor:
		return &VendorID{Data: c.rest()}
	case PayloadTSi, PayloadTSr:
		return c.ts(kind == PayloadTSi)
	case PayloadCP:
		return c.config()
	case PayloadEAP:
		return c.eap()
	}
	return &Unknown{Kind: kind, Critical: critical, Body: c.rest()}
}

// fragment reads an SKF payload (RFC 7383 §2.5); first is its next payload field.
func (c *cursor) fragment(first PayloadType) *EncryptedFragment {
	start := c.off
	f := &EncryptedFragment{First: first, Number: c.u16("fragment number"), Total: c.u16("total fragments")}
	switch {
	case f.Number == 0 || f.Number > f.Total: // RFC 7383 §2.6
		c.fail(start, "fragment %d of %d", f.Number, f.Total)
	case f.Number > 1 && first != NoNextPayload: // RFC 7383 §2.5
		c.fail(start-4, "fragment %d names a first payload, which only fragment 1 does", f.Number)
	}
	f.Body = c.rest()
	return f
}
