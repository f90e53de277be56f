package kerberos

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The tests write DER with an encoder of their own, so that what is decoded was not
// written by what decodes. Kerberos has explicit context tags (RFC 4120 §5.1).

func contextTag(n int) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }

const (
	tagEncTicketPart = 3
	tagEncTGSRepPart = 26
)

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

func (e encoder) encrypted(n int, v encryptedData) {
	e.sequence(n, func(e encoder) {
		e.integer(0, int64(v.etype))
		if v.kvno != 0 {
			e.integer(1, int64(v.kvno))
		}
		e.octets(2, v.cipher)
	})
}

func (e encoder) sessionKey(n int, k *Key) {
	e.sequence(n, func(e encoder) {
		e.integer(0, int64(k.etype))
		e.octets(1, k.value)
	})
}

func (e encoder) name(n int, name []string, kind int64) {
	e.sequence(n, func(e encoder) {
		e.integer(0, kind)
		e.field(1, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, c := range name {
					addText(b, c)
				}
			})
		})
	})
}
