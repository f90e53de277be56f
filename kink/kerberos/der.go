package kerberos

import (
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Kerberos is DER with explicit context tags (RFC 4120 §5.1).

const classApplication = 0x40

func contextTag(n int) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }

func applicationTag(n int) asn1.Tag { return asn1.Tag(n|classApplication) | 0x20 }

// decoder reads the fields of one SEQUENCE in order. The first error stays; after it
// every read gives zero values.
type decoder struct {
	what string // the type, for errors
	s    cryptobyte.String
	err  error
}

func (d *decoder) fail(field string) {
	if d.err == nil {
		d.err = fmt.Errorf("%s of %s is missing or malformed", field, d.what)
	}
}

func (d *decoder) failf(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// sequence opens a SEQUENCE that fills the whole of s.
func sequence(what string, s cryptobyte.String) *decoder {
	d := &decoder{what: what}
	if !s.ReadASN1(&d.s, asn1.SEQUENCE) || !s.Empty() {
		d.fail("the sequence")
	}
	return d
}

// application opens an APPLICATION tag with a SEQUENCE in it. The octets may go on
// after it only when padded is set: a decrypted part can have padding.
func application(what string, tag int, octets []byte, padded bool) *decoder {
	s := cryptobyte.String(octets)
	var inner cryptobyte.String
	if !s.ReadASN1(&inner, applicationTag(tag)) {
		return &decoder{what: what, err: fmt.Errorf("no %s: APPLICATION tag %d is missing or its length is wrong", what, tag)}
	}
	if !s.Empty() && !padded {
		return &decoder{what: what, err: fmt.Errorf("%d octets follow the %s", len(s), what)}
	}
	return sequence(what, inner)
}

func (d *decoder) has(n int) bool {
	return d.err == nil && d.s.PeekASN1Tag(contextTag(n))
}

// field is the content of context tag n.
func (d *decoder) field(n int, name string) cryptobyte.String {
	var out cryptobyte.String
	if d.err != nil {
		return nil
	}
	if !d.s.ReadASN1(&out, contextTag(n)) {
		d.fail(name)
		return nil
	}
	return out
}

// skip passes over optional field n.
func (d *decoder) skip(n int) {
	if d.has(n) {
		d.field(n, "an optional field")
	}
}

func (d *decoder) integer(n int, name string) int64 {
	s := d.field(n, name)
	var v int64
	if d.err == nil && (!s.ReadASN1Integer(&v) || !s.Empty()) {
		d.fail(name)
		return 0
	}
	return v
}

// number is an Int32 (RFC 4120 §5.2.4).
func (d *decoder) number(n int, name string) int32 {
	v := d.integer(n, name)
	if v != int64(int32(v)) {
		d.fail(name)
		return 0
	}
	return int32(v)
}

// unsigned is a UInt32. Some implementations write those above 2³¹ as negative
// numbers; they are taken.
func (d *decoder) unsigned(n int, name string) uint32 {
	v := d.integer(n, name)
	if v < -1<<31 || v >= 1<<32 {
		d.fail(name)
		return 0
	}
	return uint32(v)
}

func (d *decoder) octets(n int, name string) []byte {
	s := d.field(n, name)
	var v cryptobyte.String
	if d.err == nil && (!s.ReadASN1(&v, asn1.OCTET_STRING) || !s.Empty()) {
		d.fail(name)
		return nil
	}
	return v
}

// text is a KerberosString: GeneralString, in practice with UTF-8 too. Control
// characters have no place in a name and would disturb logs: they are refused.
func (d *decoder) text(n int, name string) string {
	return d.textOf(d.field(n, name), name)
}

func (d *decoder) textOf(s cryptobyte.String, name string) string {
	var v cryptobyte.String
	if d.err != nil {
		return ""
	}
	if !s.ReadASN1(&v, asn1.GeneralString) || !s.Empty() || len(v) > maxText || !printable(string(v)) {
		d.fail(name)
		return ""
	}
	return string(v)
}

// time is a KerberosTime (RFC 4120 §5.2.3): whole seconds of UTC.
func (d *decoder) time(n int, name string) time.Time {
	s := d.field(n, name)
	var v time.Time
	if d.err == nil && (!s.ReadASN1GeneralizedTime(&v) || !s.Empty()) {
		d.fail(name)
		return time.Time{}
	}
	return v.UTC()
}

// microseconds is 0 to 999999 (RFC 4120 §5.2.4).
func (d *decoder) microseconds(n int, name string) time.Duration {
	v := d.integer(n, name)
	if v < 0 || v > 999999 {
		d.fail(name)
		return 0
	}
	return time.Duration(v) * time.Microsecond
}

// flags is a KerberosFlags (RFC 4120 §5.2.8): bit 0 is the highest; bits after the
// 32nd mean nothing yet.
func (d *decoder) flags(n int, name string) uint32 {
	s := d.field(n, name)
	var v []byte
	if d.err != nil {
		return 0
	}
	if !s.ReadASN1BitStringAsBytes(&v) || !s.Empty() {
		d.fail(name)
		return 0
	}
	var out uint32
	for i := range min(4, len(v)) {
		out |= uint32(v[i]) << (24 - 8*i)
	}
	return out
}

// each calls do for every element of the SEQUENCE OF in field n, most at most.
func (d *decoder) each(n int, name string, most int, do func(cryptobyte.String)) {
	d.eachOf(d.field(n, name), name, most, do)
}

func (d *decoder) eachOf(s cryptobyte.String, name string, most int, do func(cryptobyte.String)) {
	var list cryptobyte.String
	if d.err != nil {
		return
	}
	if !s.ReadASN1(&list, asn1.SEQUENCE) || !s.Empty() {
		d.fail(name)
		return
	}
	for count := 0; !list.Empty() && d.err == nil; count++ {
		var element cryptobyte.String
		if count == most || !list.ReadAnyASN1Element(&element, new(asn1.Tag)) {
			d.fail(name)
			return
		}
		do(element)
	}
}

// take carries the error of an inner decoder out.
func (d *decoder) take(inner *decoder) {
	if d.err == nil {
		d.err = inner.err
	}
}

const (
	maxText       = 1024 // octets of one string
	maxComponents = 16   // of a principal's name
)

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7F {
			return false
		}
	}
	return true
}

// ---- encoding ----

// encoder writes the fields of one SEQUENCE.
type encoder struct{ b *cryptobyte.Builder }

// encode makes an APPLICATION tag with a SEQUENCE in it.
func encode(tag int, do func(encoder)) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(applicationTag(tag), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { do(encoder{b}) })
	})
	return b.Bytes()
}

// encodeSequence makes a SEQUENCE.
func encodeSequence(do func(encoder)) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { do(encoder{b}) })
	return b.Bytes()
}

func (e encoder) field(n int, do func(*cryptobyte.Builder)) { e.b.AddASN1(contextTag(n), do) }

func (e encoder) sequence(n int, do func(encoder)) {
	e.field(n, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { do(encoder{b}) })
	})
}

func (e encoder) integer(n int, v int64) {
	e.field(n, func(b *cryptobyte.Builder) { b.AddASN1Int64(v) })
}

func (e encoder) octets(n int, v []byte) {
	e.field(n, func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
}

func (e encoder) text(n int, v string) {
	e.field(n, func(b *cryptobyte.Builder) { addText(b, v) })
}

func addText(b *cryptobyte.Builder, v string) {
	b.AddASN1(asn1.GeneralString, func(b *cryptobyte.Builder) { b.AddBytes([]byte(v)) })
}

func (e encoder) time(n int, v time.Time) {
	e.field(n, func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(v.UTC().Truncate(time.Second)) })
}

func (e encoder) microseconds(n int, v time.Time) {
	e.integer(n, int64(v.Nanosecond()/1000))
}

// flags writes 32 bits, the least that RFC 4120 §5.2.8 allows.
func (e encoder) flags(n int, v uint32) {
	e.field(n, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddUint32(v)
		})
	})
}

func (e encoder) raw(n int, v []byte) {
	e.field(n, func(b *cryptobyte.Builder) { b.AddBytes(v) })
}
