"""Links and devices, modelled: what a byte costs on its way, and a second of computing.

    LinkProfile(rate_up=500e3, delay=0.030)      4 mbit/s up, 30 ms each way: what a node is told of its link

The models are functions of figures and of a stream of random numbers: no clock, no socket.  So the
same ones shape real daemons, drive the virtual clock, and predict what a topology costs before it runs.
"""
