package userspace

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const tunPath = "/dev/net/tun"

// openTUN makes a TUN device; it goes with its file, and with the process.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("no TUN device: %s is missing; load the kernel module tun, or give the container the device", tunPath)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("no TUN device: %s may not be opened; run as root, or give the container the device", tunPath)
	case err != nil:
		return nil, fmt.Errorf("no TUN device: %s: %w", tunPath, err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err == nil {
		return os.NewFile(uintptr(fd), tunPath), nil
	}
	unix.Close(fd)
	switch {
	case errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("no TUN device: making %s needs the capability CAP_NET_ADMIN", name)
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("no TUN device: %s is in use, by another agent in this network namespace", name)
	}
	return nil, fmt.Errorf("no TUN device: make %s: %w", name, err)
}
