//go:build !linux

package netlink

// Conn is a netlink socket; this system has none.
type Conn struct{}

// Dial says ErrNotHere.
func Dial(int, ...uint32) (*Conn, error) { return nil, ErrNotHere }

// PID is 0.
func (*Conn) PID() uint32 { return 0 }

// Close does nothing.
func (*Conn) Close() error { return nil }

// SetReceiveBuffer says ErrNotHere.
func (*Conn) SetReceiveBuffer(int) error { return ErrNotHere }

// Execute says ErrNotHere.
func (*Conn) Execute(Message) ([]Message, error) { return nil, ErrNotHere }

// Batch says ErrNotHere.
func (*Conn) Batch(uint8, []Message) error { return ErrNotHere }

// Receive says ErrNotHere.
func (*Conn) Receive() ([]Message, error) { return nil, ErrNotHere }
