// Both ends of TLS connections that carry known bytes, and a record of what each end wrote and read.
//
//	exchange server ADDRESS CERTIFICATE KEY
//	exchange client ADDRESS
//
// A client opens -connections connections at once. On each it writes -rounds times -size bytes, each time in one call,
// and reads them back; the server echoes. Each end leaves, for each connection, the files PORT.written and PORT.read in
// -out, PORT being the client's.
package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

var (
	connections = flag.Int("connections", 1, "")
	rounds      = flag.Int("rounds", 1, "")
	size        = flag.Int("size", 100, "")
	version     = flag.Int("version", 13, "12 or 13")
	out         = flag.String("out", "", "")
	keylog      = flag.String("keylog", "", "")
	wait        = flag.String("wait", "", "a file that must exist before a client writes")
	wrap        = flag.Bool("wrap", false, "let the net.Conn be a type of this program's")
	hide        = flag.Bool("hide", false, "let it be a type that has its socket out of sight, and use others beside it")
	relay       = flag.Bool("relay", false, "let it be a pipe, whose other end another goroutine forwards to a socket")
)

// wrapped is a net.Conn that is no socket but has one.
type wrapped struct {
	net.Conn
	name string
}

// hidden is a net.Conn that begins with something else than its socket.
type hidden struct {
	name  string
	below net.Conn
}

func (h *hidden) Read(b []byte) (int, error)         { return h.below.Read(b) }
func (h *hidden) Write(b []byte) (int, error)        { return h.below.Write(b) }
func (h *hidden) Close() error                       { return h.below.Close() }
func (h *hidden) LocalAddr() net.Addr                { return h.below.LocalAddr() }
func (h *hidden) RemoteAddr() net.Addr               { return h.below.RemoteAddr() }
func (h *hidden) SetDeadline(t time.Time) error      { return h.below.SetDeadline(t) }
func (h *hidden) SetReadDeadline(t time.Time) error  { return h.below.SetReadDeadline(t) }
func (h *hidden) SetWriteDeadline(t time.Time) error { return h.below.SetWriteDeadline(t) }

// relayed is an end of a pipe that says it is the socket which the other end is forwarded to.
type relayed struct {
	net.Conn
	socket net.Conn
}

func (r *relayed) LocalAddr() net.Addr  { return r.socket.LocalAddr() }
func (r *relayed) RemoteAddr() net.Addr { return r.socket.RemoteAddr() }

func relayTo(socket net.Conn) net.Conn {
	near, far := net.Pipe()
	go func() {
		io.Copy(socket, far)
		socket.Close()
	}()
	go func() {
		io.Copy(far, socket)
		far.Close()
	}()
	return &relayed{near, socket}
}

func clothe(raw net.Conn) net.Conn {
	switch {
	case *wrap:
		return &wrapped{raw, "wrapped"}
	case *hide:
		return &hidden{"hidden", raw}
	case *relay:
		return relayTo(raw)
	}
	return raw
}

// decoy uses a socket that has nothing to do with TLS, from where the caller has just used one that has.
func decoy() {
	one, err := net.Dial("udp", "127.0.0.1:9")
	check(err)
	one.Write([]byte("decoy"))
	one.Close()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func config() *tls.Config {
	limit := uint16(tls.VersionTLS13)
	if *version == 12 {
		limit = tls.VersionTLS12
	}
	made := &tls.Config{InsecureSkipVerify: true, MinVersion: limit, MaxVersion: limit}
	if *keylog != "" {
		file, err := os.OpenFile(*keylog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0600)
		check(err)
		made.KeyLogWriter = file
	}
	return made
}

func port(address net.Addr) int { return address.(*net.TCPAddr).Port }

func record(port int, written, read []byte) {
	check(ioutil.WriteFile(filepath.Join(*out, fmt.Sprintf("%d.written", port)), written, 0600))
	check(ioutil.WriteFile(filepath.Join(*out, fmt.Sprintf("%d.read", port)), read, 0600))
}

// deepen uses much stack, so that the runtime must move the goroutine's.
//
//go:noinline
func deepen(depth int) byte {
	var room [512]byte
	room[depth%512] = byte(depth)
	if depth > 0 {
		room[0] += deepen(depth - 1)
	}
	return room[depth%512] + room[0]
}

// readSome reads into a buffer on the goroutine's own stack, which moves when the first read makes the handshake.
//
//go:noinline
func readSome(connection *tls.Conn, into *bytes.Buffer) (int, error) {
	var buffer [3000]byte
	count, err := connection.Read(buffer[:])
	into.Write(buffer[:count])
	return count, err
}

func serve(connection *tls.Conn) {
	defer connection.Close()
	var written, read bytes.Buffer
	for turn := 0; ; turn++ {
		before := read.Len()
		count, err := readSome(connection, &read)
		if turn == 0 {
			deepen(200) // the next garbage collection finds the stack too large, and moves it while the goroutine reads
		}
		if count > 0 {
			chunk := read.Bytes()[before:]
			written.Write(chunk)
			_, err := connection.Write(chunk)
			check(err)
		}
		if err == io.EOF {
			break
		}
		check(err)
	}
	record(port(connection.RemoteAddr()), written.Bytes(), read.Bytes())
}

func payload(seed uint32, size int) []byte {
	made := make([]byte, size)
	state := seed*2654435761 + 1
	for i := range made {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		made[i] = byte(state)
	}
	return made
}

func talk(number int, address string, settings *tls.Config) {
	raw, err := net.Dial("tcp", address)
	check(err)
	connection := tls.Client(clothe(raw), settings)
	check(connection.Handshake())
	for *wait != "" {
		if _, err := os.Stat(*wait); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	var written, read bytes.Buffer
	for round := 0; round < *rounds; round++ {
		bytes := payload(uint32(number*1000+round), *size)
		go func() {
			_, err := connection.Write(bytes)
			check(err)
			if *hide {
				decoy()
			}
		}()
		written.Write(bytes)
		for read.Len() < written.Len() {
			_, err := readSome(connection, &read)
			check(err)
			if *hide {
				decoy()
			}
		}
	}
	local := port(connection.LocalAddr())
	check(connection.Close())
	record(local, written.Bytes(), read.Bytes())
}

func main() {
	mode := os.Args[1]
	address := os.Args[2]
	flags := os.Args[3:]
	if mode == "server" {
		flags = os.Args[5:]
	}
	check(flag.CommandLine.Parse(flags))
	go func() {
		for {
			runtime.GC()
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if mode == "client" {
		settings := config()
		var all sync.WaitGroup
		for number := 0; number < *connections; number++ {
			all.Add(1)
			go func(number int) {
				defer all.Done()
				talk(number, address, settings)
			}(number)
		}
		all.Wait()
		return
	}
	certificate, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
	check(err)
	settings := config()
	settings.Certificates = []tls.Certificate{certificate}
	listener, err := net.Listen("tcp", address)
	check(err)
	for {
		connection, err := listener.Accept()
		check(err)
		go serve(tls.Server(clothe(connection), settings))
	}
}
