// A TLS client: says one line to the address that it is given, and prints the answer.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	connection, err := net.Dial("tcp", os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	secure := tls.Client(connection, &tls.Config{InsecureSkipVerify: true})
	fmt.Fprintf(secure, "GET / HTTP/1.0\r\n\r\n")
	io.Copy(os.Stdout, secure)
}
