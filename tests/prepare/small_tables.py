"""Two tables that `prepare csv` accepts."""

ITEMS = "item_id,domain,title\na,food,Apple\nb,food,Bread\nk,kitchen,Knife\n"
INTER = "user_id,item_id,timestamp\n1,a,10\n1,k,20\n1,b,30\n2,k,10\n2,a,20\n2,b,20\n"
