package logging

import (
	"encoding/hex"
	"log/slog"
	"net/netip"
)

// maxDump bounds the octets of one dump.
const maxDump = 2048

// Packet writes a datagram in hexadecimal as it is on the wire. IKE messages
// show what anybody on the path sees: public values, nonces and sealed
// payloads, and nothing that is secret. ESP is never handed in.
func (l *Log) Packet(area, what string, local, remote netip.AddrPort, data []byte) {
	own := l.remotes.Load().at(remote.Addr())
	to := own.places(slog.LevelDebug, l.level.Level())
	if to == 0 {
		return
	}
	shown := data[:min(len(data), maxDump)]
	attrs := []slog.Attr{
		slog.String("local", local.String()), slog.String("remote", remote.String()),
		slog.Int("octets", len(data)), slog.String("hex", hex.EncodeToString(shown)),
	}
	if len(shown) < len(data) {
		attrs = append(attrs, slog.Int("cut_at", maxDump))
	}
	l.write(entry{l.now(), slog.LevelDebug, area, what, attrs}, to, own)
}
