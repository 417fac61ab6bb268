"""Visits: planned, with what to bring; done, which takes the steps of the books; failed and planned again; measured."""
