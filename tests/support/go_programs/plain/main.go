// A program without TLS.
package main

import "fmt"

func main() { fmt.Println("no TLS here") }
