package dns

import "net/netip"

// packets takes questions from a UDP socket and gives answers, several at a time
// where the system can. One goroutine uses it; send and stop may come from others.
type packets interface {
	// read waits for questions, and returns how many it took.
	read() (int, error)
	// question is one of those that were taken, and who sent it; an address that is
	// not valid for one that nobody can be answered at.
	question(i int) ([]byte, netip.AddrPort)
	// source is the control message that has a later answer to a question come from
	// where it went; nil where the socket is bound to one address.
	source(i int) []byte
	// answer queues an answer to a question, which stays as it is until flush. There
	// is one for each question at most.
	answer(i int, msg []byte)
	// flush sends what is queued, and says how many answers could not be sent: one
	// holds up no other.
	flush() (unsent int)
	// send sends an answer that took longer, with its question's source.
	send(msg []byte, to netip.AddrPort, source []byte) error
	// stop has read return; close comes after that, from its goroutine.
	stop()
	close()
}
